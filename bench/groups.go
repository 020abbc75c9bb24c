package main

// groups are what is measured, in the order of the table. Each runs in a process
// of its own, so that none inherits what another left in memory, and one that
// fails or hangs does not keep the others from running.
var groups = []struct {
	name string
	run  func(*Bench) error
}{
	{"asked at the start", asked},
	{"locks: uncontended", uncontended},
	{"locks: contended", contendedLocks},
	{"locks: at expiry", grantsAtExpiry},
	{"cache: hit", cacheHit},
	{"cache: stampede", cacheStampede},
	{"cache: loader crash", loaderCrash},
	{"queue: commands", queueCommands},
	{"queue: process", queueProcess},
	{"queue: pickup", queuePickup},
	{"queue: idle consumers", queueIdle},
	{"queue: delayed", queueDelayed},
	{"queue: keyed", queueKeyed},
	{"scale: locks", scaleLocks},
	{"scale: leases", scaleLeases},
	{"scale: tasks", scaleTasks},
	{"scale: waiters", scaleWaiters},
	{"tax on other traffic", tax},
	{"cost of Go", costOfGo},
	{"start and memory", startAndMemory},
}
