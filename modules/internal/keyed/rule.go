package keyed

// Rule says how many tasks of a key a queue lets in. The zero value lets all in.
type Rule struct {
	// Most is how many tasks of one key may be in the stream or in work; 0 is any number.
	Most int64
	// Soft has a consumer that would get too little let in more than Most.
	Soft bool
	// Rate is how many tasks of one key are let in within Per milliseconds; 0 is any number.
	Rate, Per int64
	// All has Rate count the tasks of all keys together.
	All bool
	// Ordered keeps the tasks of a key in order: Most is 1, and a task that is tried again
	// comes before the others of its key.
	Ordered bool
}
