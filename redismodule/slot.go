package redismodule

// OneSlot reports whether all names hash to one slot of the cluster, which this node
// serves. Outside a cluster it is true. The server asks so for the keys that a command's
// key specs declare; no key may be open meanwhile.
func (ctx *Ctx) OneSlot(names ...[]byte) bool {
	if !clustered {
		return true
	}
	c := ctx.Cmd("EXISTS")
	for _, name := range names {
		c.Bytes(name)
	}
	return c.Do("E") == nil
}
