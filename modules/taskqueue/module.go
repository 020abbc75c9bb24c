package taskqueue

import "holdfast/redismodule"

var Module = redismodule.Module{Name: "taskqueue"}
