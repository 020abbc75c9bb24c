/* The Go runtime watches its threads from one of its own. That one is woken by every callback that
 * comes after a rest, and then looks every 20 µs, and the 50 µs that the kernel adds, whether the
 * callback's thread is still in Go. Under a server with light traffic it took half as much of
 * a processor as the server did. Nothing here needs such haste, because Go code runs in callbacks
 * alone. So the kernel is allowed to be late by a millisecond with the sleeps of Go's threads.
 * A thread inherits this allowance, its timer slack, from the one that makes it: the server's
 * main thread has it only while the library is loaded and makes the first thread of Go. */
#include "bridge.h"

#ifdef __linux__
#include <sys/prctl.h>

enum { LATE_NS = 1000 * 1000 };

/* With a priority, so that it runs before the constructor of the Go runtime, which has none. */
__attribute__((constructor(101))) static void allow(void) { prctl(PR_SET_TIMERSLACK, LATE_NS, 0, 0, 0); }

void hf_on_time(void) { prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0); } /* 0: what the thread began with */
#else
void hf_on_time(void) {}
#endif
