package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/redisserver"
)

// built are the modules' paths by name.
func built(t *testing.T) map[string]string {
	t.Helper()
	paths, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]string{}
	for _, path := range paths {
		byName[strings.TrimSuffix(filepath.Base(path), ".so")] = path
	}
	return byName
}

// loadedModules are the modules of ours in the server, and their versions.
func loadedModules(t *testing.T, c *redis.Client) map[string]int64 {
	t.Helper()
	list, err := c.Do(context.Background(), "MODULE", "LIST").Slice()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	for _, m := range list {
		fields := m.(map[any]any)
		if name := fields["name"].(string); slices.Contains(redisserver.ModuleNames, name) {
			found[name] = fields["ver"].(int64)
		}
	}
	return found
}

// copied are the modules and their library in a folder of their own.
func copied(t *testing.T, without ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append([]string{"libholdfast"}, redisserver.ModuleNames...) {
		if slices.Contains(without, name) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(filepath.Dir(built(t)["distlock"]), name+".so"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".so"), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestModulesLoadInAnyOrderAndNumber(t *testing.T) {
	paths := built(t)
	for _, names := range [][]string{
		{"cachelock"}, {"taskqueue"}, {"distlock"},
		{"distlock", "cachelock"}, {"taskqueue", "distlock"}, {"cachelock", "taskqueue"},
		{"cachelock", "taskqueue", "distlock"}, {"distlock", "taskqueue", "cachelock"}, {"taskqueue", "cachelock", "distlock"},
	} {
		t.Run(strings.Join(names, "+"), func(t *testing.T) {
			var modules []string
			for _, name := range names {
				modules = append(modules, paths[name])
			}
			c := holdfasttest.Server(t, holdfasttest.WithModules(modules...)).Client()
			found := loadedModules(t, c)
			if len(found) != len(names) {
				t.Errorf("loaded are %v", found)
			}
			for _, name := range names {
				if found[name] != 1 {
					t.Errorf("%s has version %d", name, found[name])
				}
			}
			for module, command := range map[string]string{"cachelock": "CACHE.GET", "taskqueue": "TASK.ACK", "distlock": "LOCK.RELEASE"} {
				_, err := c.Do(context.Background(), command).Result()
				if loaded := found[module] > 0; loaded != (err != nil && strings.Contains(err.Error(), "wrong number of arguments")) {
					t.Errorf("%s loaded is %v, and %s answers %v", module, loaded, command, err)
				}
			}
		})
	}
}

func TestModulesLoadFromTheWorkingFolder(t *testing.T) {
	dir := copied(t)
	s := holdfasttest.Server(t, holdfasttest.WithDir(dir), holdfasttest.WithModules("./taskqueue.so", "./cachelock.so", "./distlock.so"))
	if found := loadedModules(t, s.Client()); len(found) != 3 {
		t.Error(found)
	}
}

func TestModulesLoadFromACopyOfTheirFolder(t *testing.T) {
	dir := copied(t)
	var modules []string
	for _, name := range redisserver.ModuleNames {
		modules = append(modules, filepath.Join(dir, name+".so"))
	}
	if found := loadedModules(t, holdfasttest.Server(t, holdfasttest.WithModules(modules...)).Client()); len(found) != 3 {
		t.Error(found)
	}
}

func TestWithoutTheLibraryTheErrorNamesIt(t *testing.T) {
	dir := copied(t, "libholdfast")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p, err := redisserver.Start(ctx, redisserver.Config{Binary: os.Getenv("HOLDFAST_SERVER"), Modules: []string{filepath.Join(dir, "distlock.so")}})
	if err == nil {
		p.Stop()
		t.Fatal("the server started")
	}
	if ctx.Err() != nil || !strings.Contains(err.Error(), "libholdfast.so") {
		t.Errorf("the server says %v", err)
	}
}

// What cannot be loaded is refused with a reason, and leaves what is there alone.
func TestALoadThatFailsSaysWhyAndChangesNothing(t *testing.T) {
	ctx := context.Background()
	s := holdfasttest.Server(t)
	c := s.Client()
	dir := copied(t)
	if err := os.Chmod(filepath.Join(dir, "cachelock.so"), 0o644); err != nil {
		t.Fatal(err)
	}
	distlock := built(t)["distlock"]
	unload(t, c, "distlock")
	try := func(why string, args ...any) {
		t.Helper()
		if err := c.Do(ctx, append([]any{"MODULE", "LOAD"}, args...)...).Err(); err == nil || !s.AwaitLog(why) {
			t.Errorf("MODULE LOAD %v: %v, and the log lacks %q", args, err, why)
		}
	}
	try(`unknown setting "max"`, distlock, "max", 1)
	try(`setting "max-waiters" takes an integer`, distlock, "max-waiters", "many")
	try(`setting "max-waiters" has no value`, distlock, "max-waiters")
	try("execute permissions", filepath.Join(dir, "cachelock.so"))
	try("load one of the modules, not the library they share", filepath.Join(dir, "libholdfast.so"))
	try("a module named taskqueue is loaded already", built(t)["taskqueue"])
	if found := loadedModules(t, c); len(found) != 2 {
		t.Error(found)
	}
	if err := c.Do(ctx, "MODULE", "LOAD", distlock, "distlock.max-waiters", 7, "max-ttl-ms", 8000).Err(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"distlock.max-waiters": "7", "distlock.max-ttl-ms": "8000", "distlock.quarantine-ms": "0"} {
		if got := c.ConfigGet(ctx, name).Val()[name]; got != want {
			t.Errorf("%s is %s, not %s", name, got, want)
		}
	}
	if found := loadedModules(t, c); len(found) != 3 {
		t.Error(found)
	}
}

func TestADaemonLoadsThem(t *testing.T) {
	dir := t.TempDir()
	socket, log := filepath.Join(dir, "s"), filepath.Join(dir, "log")
	args := []string{"--daemonize", "yes", "--logfile", log, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--pidfile", filepath.Join(dir, "pid")}
	for _, path := range built(t) {
		args = append(args, "--loadmodule", path)
	}
	server := os.Getenv("HOLDFAST_SERVER")
	if server == "" {
		server = "redis-server"
	}
	if out, err := exec.Command(server, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, MaxRetries: -1, DisableIdentity: true})
	t.Cleanup(func() { _ = c.ShutdownNoSave(context.Background()).Err(); _ = c.Close() })
	// The parent returns before the child listens.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := c.Ping(context.Background()).Err()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log)
			t.Fatalf("%v\n%s", err, text)
		}
	}
	if found := loadedModules(t, c); len(found) != 3 {
		t.Error(found)
	}
}

// unload takes a module out of the server. One that was loaded just now may still
// have a timer set, to look for what it left in the keyspace before.
func unload(t *testing.T, c *redis.Client, name string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		err := c.Do(context.Background(), "MODULE", "UNLOAD", name).Err()
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "timer") || time.Now().After(deadline) {
			t.Fatalf("unload %s: %v", name, err)
		}
	}
}

// resident is the server's memory and threads, from /proc.
func resident(t *testing.T, pid int) (kb, threads int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &kb)
		_, _ = fmt.Sscanf(line, "Threads: %d", &threads)
	}
	return kb, threads
}

// Whatever the order and however often, and the process does not grow with it.
func TestEachModuleUnloadsAndLoadsAgain(t *testing.T) {
	ctx := context.Background()
	s := holdfasttest.Server(t, holdfasttest.WithArgs("--enable-module-command", "local"))
	c := s.Client()
	use := map[string][]any{
		"cachelock": {"CACHE.SET", "k", "v", 60000},
		"taskqueue": {"TASK.PUBLISH", "q", "p"},
		"distlock":  {"LOCK.ACQUIRE", "l", "o", 60000},
	}
	const rounds, settled = 100, 20
	var before, threads int
	for round := range rounds {
		if round == settled {
			before, threads = resident(t, s.PID())
		}
		for name, path := range built(t) { // in any order: it is a map
			unload(t, c, name)
			if err := c.Do(ctx, use[name]...).Err(); err == nil || !strings.Contains(err.Error(), "unknown command") {
				t.Errorf("%v without its module: %v", use[name], err)
			}
			if err := c.Do(ctx, "MODULE", "LOAD", path).Err(); err != nil {
				t.Fatalf("load %s: %v", name, err)
			}
			if err := c.Do(ctx, use[name]...).Err(); err != nil && !errors.Is(err, redis.Nil) {
				t.Errorf("%v: %v", use[name], err)
			}
		}
		if found := loadedModules(t, c); len(found) != 3 {
			t.Errorf("round %d: %v", round, found)
		}
	}
	after, now := resident(t, s.PID())
	t.Logf("%d kB and %d threads after %d rounds, %d kB and %d threads after %d", before, threads, settled, after, now, rounds)
	// Go may start a few threads more; a leak would be one for each load.
	if after > before+4<<10 || now > threads+10 {
		t.Error("the process grows")
	}
	// The data stayed throughout.
	if v, err := c.Get(ctx, "k").Result(); v != "v" {
		t.Error(v, err)
	}
	if n, err := c.XLen(ctx, "q").Result(); n != rounds {
		t.Error(n, err)
	}
	if n, err := c.Exists(ctx, "l").Result(); n != 1 {
		t.Error(n, err)
	}
}

func TestCommandStatisticsCountEachCommand(t *testing.T) {
	ctx := context.Background()
	c := holdfasttest.Server(t).Client()
	id, err := c.Do(ctx, "TASK.PUBLISH", "q", "p").Text()
	if err != nil {
		t.Fatal(err)
	}
	c.XGroupCreate(ctx, "q", "g", "0")
	for _, command := range [][]any{
		{"CACHE.LOCK", "k", 1000, 1000}, {"CACHE.SET", "k", "v", 1000}, {"CACHE.GET", "k"},
		{"TASK.CONSUME", "g", "c", "q"}, {"TASK.RETRY", "q", id, "p", 0, "r", "d", 3}, {"TASK.ACK", "q", "g", id},
		{"LOCK.ACQUIRE", "l", "o", 1000}, {"LOCK.EXTEND", "l", "o", 1000}, {"LOCK.RELEASE", "l", "o"},
	} {
		if err := c.Do(ctx, command...).Err(); err != nil {
			t.Fatalf("%v: %v", command, err)
		}
		stats := c.InfoMap(ctx, "commandstats").Val()["Commandstats"]
		name := "cmdstat_" + strings.ToLower(fmt.Sprint(command[0]))
		if !strings.HasPrefix(stats[name], "calls=1,") {
			t.Errorf("%s is %q in INFO", name, stats[name])
		}
	}
}
