package main

import (
	"time"
)

// asked: what the system was wanted for in the first place.
func asked(b *Bench) error {
	s, err := holdfast("--maxclients", "3000")
	if err != nil {
		return err
	}
	defer s.Close()

	// A hundred callers at once by the two commands of the contract: who is told
	// LOAD loads and stores.
	b.alone("of 100 callers at once, so many load", "", AtMost(1), each(inTurn(b.Pairs(), func() outcome {
		return s.stampede(100, s.ours(5*time.Second))
	})[0], func(o outcome) float64 { return float64(o.loads) })...)

	n := b.size(15_000)
	b.Figure("tasks published, consumed and acknowledged", "per s", AtLeast(1000), func() float64 {
		s.run("FLUSHALL")
		return cycles(s, n)
	})
	b.Figure("a lock is taken in, on average", "ms", AtMost(5), func() float64 {
		s.run("FLUSHALL")
		return 1000 * workers / ops(n, func(i int) { do(s, "LOCK.ACQUIRE", page(i), owner, 60_000) })
	})
	b.Figure("a lock that 50 want is handed on in, on average", "ms", AtMost(5), func() float64 {
		c := s.contest(50, max(time.Duration(b.size(1000))*time.Millisecond, 300*time.Millisecond), (*Server).locks)
		return 1000/c.rate - ms(c.held)
	})
	return nil
}

// cycles has n tasks each published, consumed and acknowledged, one at a time by
// each of the workers, and answers how many were in a second.
func cycles(s *Server, n int) float64 {
	return ops(n, func(i int) {
		do(s, "TASK.PUBLISH", "s", payload)
		for _, e := range entries(do(s, "TASK.CONSUME", "g", "c", "s", 1, 1000)) {
			do(s, "TASK.ACK", "s", "g", e.([]any)[0])
		}
	})
}
