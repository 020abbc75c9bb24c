// What runs in the server: the modules and their cores. Their tests need what the clients' users do not.
module holdfast/modules

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	holdfast v0.0.0
	pgregory.net/rapid v1.3.0
)

replace holdfast => ../
