// Package machine says what the figures of a benchmark depend on.
package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/bench/report"
	"mailrow/bench/server"
)

// Machine is what the times depend on, and the ratios should not.
type Machine struct {
	PostgreSQL string
	Flush      report.Series // one write of 8 KiB and fdatasync, where the data are
	Load       string        // averages when it was looked at
}

// Look measures the disk that the server writes to.
func Look(ctx context.Context, s *server.Server) (m Machine, err error) {
	m.Load = busy()
	if m.Flush, err = flushTimes(s.Cluster.SocketDir()); err != nil {
		return m, fmt.Errorf("measure the disk: %w", err)
	}
	err = server.With(ctx, s.DSN, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select current_setting('server_version')`).Scan(&m.PostgreSQL)
	})
	return m, err
}

// flushTimes does what a commit does to the disk, as pg_test_fsync does.
func flushTimes(dir string) (report.Series, error) {
	f, err := os.Create(filepath.Join(dir, "flush"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 8<<10)
	if _, err := f.Write(make([]byte, 16<<20)); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	var times report.Series
	for i := range 300 {
		start := time.Now()
		if _, err := f.WriteAt(block, int64(i)*int64(len(block))); err != nil {
			return nil, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start).Seconds())
	}
	return times, nil
}

// busy gives the load averages over 1, 5 and 15 minutes.
func busy() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], " ")
}

// Table shows it.
func (m Machine) Table() report.Table {
	t := report.Table{Title: "The run", Columns: []string{"", ""}}
	t.Add("cores", fmt.Sprint(runtime.NumCPU()))
	t.Add("load average before, after", m.Load+", "+busy())
	t.Add("PostgreSQL", m.PostgreSQL+", Unix socket, trust, fsync and synchronous_commit on")
	t.Add("Go", runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH)
	t.Add("write of 8 KiB and fdatasync", fmt.Sprintf("median %.2f ms, p10 %.2f ms", 1000*m.Flush.Median(), 1000*m.Flush.P10()))
	return t
}
