package distlock

import "holdfast/redismodule"

var Module = redismodule.Module{Name: "distlock"}
