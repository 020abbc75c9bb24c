package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuPerCall is the server's own time for a command in µs, from INFO
// commandstats, since the statistics were last reset.
func (s *Server) cpuPerCall(command string) float64 {
	_, after, found := strings.Cut(s.Info(bg, "commandstats").Val(), "cmdstat_"+command+":")
	if !found {
		fail(fmt.Errorf("no statistics of %s", command))
	}
	var calls, usec float64
	for _, f := range strings.Split(strings.Split(after, "\r\n")[0], ",") {
		k, v, _ := strings.Cut(f, "=")
		switch n, _ := strconv.ParseFloat(v, 64); k {
		case "calls":
			calls = n
		case "usec":
			usec = n
		}
	}
	return usec / calls
}

func (s *Server) resetStats() { s.run("CONFIG RESETSTAT") }

// commands is how many commands the server has run.
func (s *Server) commands() float64 { return s.infoNumber("stats", "total_commands_processed") }

// infoNumber is a number of an INFO section.
func (s *Server) infoNumber(section, field string) float64 {
	_, after, found := strings.Cut("\r\n"+s.Info(bg, section).Val(), "\r\n"+field+":")
	if !found {
		fail(fmt.Errorf("INFO %s has no %s", section, field))
	}
	n, _ := strconv.ParseFloat(strings.Split(after, "\r\n")[0], 64)
	return n
}

// cpuTime is all the processor time the server has used, in user and kernel.
func (s *Server) cpuTime() time.Duration {
	total := s.infoNumber("cpu", "used_cpu_sys") + s.infoNumber("cpu", "used_cpu_user")
	return time.Duration(total * float64(time.Second))
}

// cpuEach is the processor time of everything the server does for each of n, in µs.
func (s *Server) cpuEach(n int, work func()) float64 {
	before := s.cpuTime()
	work()
	return float64((s.cpuTime() - before).Microseconds()) / float64(n)
}

// ownCPU is all the processor time this process has used, in user and kernel.
func ownCPU() time.Duration {
	var r syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// rss is a process's resident memory in bytes, as the kernel adds it up exactly.
func rss(pid int) float64 {
	kb, err := strconv.ParseFloat(strings.TrimSuffix(procField(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Rss"), " kB"), 64)
	if err != nil {
		fail(err)
	}
	return kb * 1024
}

var bg = context.Background()

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
