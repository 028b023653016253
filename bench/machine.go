package main

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
)

// machine is what the times depend on, and the ratios should not.
type machine struct {
	postgres string
	flush    series // one write of 8 KiB and fdatasync, where the data are
	load     string
}

func lookAtMachine(ctx context.Context, s *server) (m machine, err error) {
	m.load = busy()
	if m.flush, err = flushTimes(s.cluster.SocketDir()); err != nil {
		return m, fmt.Errorf("measure the disk: %w", err)
	}
	err = with(ctx, s.dsn, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select current_setting('server_version')`).Scan(&m.postgres)
	})
	return m, err
}

// flushTimes does what a commit does to the disk, as pg_test_fsync does.
func flushTimes(dir string) (series, error) {
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
	var times series
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

// load gives the load averages over 1, 5 and 15 minutes.
func busy() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], " ")
}

func (m machine) table(c *mailSet, sample [][]byte) table {
	kind := "real"
	if c.made {
		kind = "generated, no real ones found"
	}
	describe := func(mails [][]byte) string {
		sizes := make(series, len(mails))
		for i, raw := range mails {
			sizes[i] = float64(len(raw)) / 1000
		}
		return fmt.Sprintf("%d (%s), %.1f MB, median %.1f KB, mean %.1f KB", len(mails), kind,
			float64(total(mails))/1e6, sizes.median(), float64(total(mails))/float64(len(mails))/1000)
	}
	t := table{title: "The run", columns: []string{"", ""}}
	t.add("cores", fmt.Sprint(runtime.NumCPU()))
	t.add("load average before, after", m.load+", "+busy())
	t.add("PostgreSQL", m.postgres+", Unix socket, trust, fsync and synchronous_commit on")
	t.add("Go", runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH)
	t.add("write of 8 KiB and fdatasync", fmt.Sprintf("median %.2f ms, p10 %.2f ms", 1000*m.flush.median(), 1000*m.flush.p10()))
	t.add("mails compared", describe(sample))
	t.add("mails for disk", describe(c.mails))
	return t
}
