package metrics

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var started = time.Now()

// Process adds what is known of the process, by the names that are usual.
func (p *Page) Process(version string) {
	p.Gauge("mailrow_build_info", "1, with the version of the program.").Add(1, Label{"version", version})
	p.Gauge("process_start_time_seconds", "When the program was started, in seconds since 1970.").Add(float64(started.UnixMilli()) / 1000)
	p.Gauge("go_goroutines", "Goroutines of the program.").Add(float64(runtime.NumGoroutine()))
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		seconds := float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
		p.Counter("process_cpu_seconds_total", "Processor time of the program.").Add(seconds)
	}
	if bytes, ok := resident(); ok {
		p.Gauge("process_resident_memory_bytes", "Memory of the program.").Add(float64(bytes))
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.Gauge("process_open_fds", "Open file descriptors of the program.").Add(float64(len(open)))
	}
}

// resident is the memory in use; false where the system does not tell.
func resident() (bytes int64, ok bool) {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}
