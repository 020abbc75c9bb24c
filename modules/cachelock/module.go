package cachelock

import "holdfast/redismodule"

var Module = redismodule.Module{Name: "cachelock"}
