package locktable

// quarantined tells whether a lock without a record may not be granted yet:
// the one we took over from may have granted it and not lived to tell us.
func (t *Table) quarantined(now int64, db int, name []byte) bool {
	if t.limits.Quarantine <= 0 {
		return false
	}
	t.since = min(t.since, now) // a clock stepped back prolongs nothing
	if now >= t.since+t.limits.Quarantine {
		t.known = nil
		return false
	}
	_, known := t.known[Key{db, string(name)}]
	return !known
}

// letGo remembers, during the quarantine, that we saw a lock become free.
func (t *Table) letGo(now int64, db int, name []byte) {
	if t.limits.Quarantine <= 0 || now >= t.since+t.limits.Quarantine {
		return
	}
	if t.known == nil {
		t.known = map[Key]struct{}{}
	}
	t.known[Key{db, string(name)}] = struct{}{}
}

// QuarantineLeft is how many milliseconds unknown locks are not granted yet.
func (t *Table) QuarantineLeft(now int64) int64 {
	return max(0, t.since+t.limits.Quarantine-now)
}
