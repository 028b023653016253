package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mailrow/bench/mail"
	"mailrow/bench/report"
	"mailrow/bench/server"
	"mailrow/internal/scratch"
)

// program is one way to store a mail in a process of its own.
type program struct {
	name string
	args []string // "@" stands for the mail's file
	env  []string
	copy bool // its file holds a row in the format of COPY

	wall, cpu report.Series // seconds
}

// workplace holds the mails as files and the programs built for the run.
type workplace struct {
	dir        *scratch.Dir
	bare, peak string
	unguarded  string // mailrow-deliver without its supervisor
}

func newWorkplace(ctx context.Context) (*workplace, error) {
	dir, err := scratch.New()
	if err != nil {
		return nil, err
	}
	w := &workplace{dir: dir, bare: filepath.Join(dir.Path, "bare"), peak: filepath.Join(dir.Path, "peak"),
		unguarded: filepath.Join(dir.Path, "unguarded")}
	for out, source := range map[string]string{w.bare: "./bench/bare", w.peak: "./bench/peak", w.unguarded: "./cmd/mailrow-deliver"} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			w.remove()
			return nil, fmt.Errorf("build %s: %w\n%s", source, err, text)
		}
	}
	return w, nil
}

func (w *workplace) remove() { w.dir.Remove() }

// put writes a mail as a file, and as psql gets it fastest: as a row in the
// binary format of COPY, a little cheaper than an insert with the mail in
// hexadecimal.
func (w *workplace) put(raw []byte) error {
	row := []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	row = binary.BigEndian.AppendUint16(row, 1) // one column
	row = binary.BigEndian.AppendUint32(row, uint32(len(raw)))
	row = append(row, raw...)
	row = binary.BigEndian.AppendUint16(row, math.MaxUint16) // the end
	if err := os.WriteFile(w.file(true), row, 0o644); err != nil {
		return err
	}
	return os.WriteFile(w.file(false), raw, 0o644)
}

func (w *workplace) file(copy bool) string {
	if copy {
		return filepath.Join(w.dir.Path, "mail.copy")
	}
	return filepath.Join(w.dir.Path, "mail.eml")
}

// command is the program about to store the mail that was put.
func (w *workplace) command(ctx context.Context, p *program, before ...string) (*exec.Cmd, error) {
	args := append(before, p.args...)
	stdin, err := os.Open(w.file(p.copy))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir = p.env, "/"
	cmd.Stdin, cmd.Stderr = stdin, os.Stderr
	return cmd, nil
}

// time runs a program once.
func (w *workplace) time(ctx context.Context, p *program) error {
	cmd, err := w.command(ctx, p)
	if err != nil {
		return err
	}
	defer cmd.Stdin.(*os.File).Close()
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.wall = append(p.wall, time.Since(start).Seconds())
	p.cpu = append(p.cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	return nil
}

// psqlPath is the real program: Debian's psql in the PATH is a script that
// looks for it.
func psqlPath() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	return exec.LookPath("psql")
}

// deliverTo is mailrow-deliver as pipe(8) runs it, for an account of its own.
func deliverTo(name, path string, env []string, account string, flags ...string) *program {
	args := append([]string{path, "-f", "sender@example.net", "--client-address=192.0.2.7",
		"--client-helo=relay.example.net", "--client-protocol=ESMTP", "--queue-id=4XyZ1"}, flags...)
	return &program{name: name, args: append(args, "--", account+"@example.org"), env: env}
}

// programs are bare and psql, then mailrow-deliver, then its variants.
func programs(s settings, srv *server.Server, w *workplace) ([]*program, error) {
	psql, err := psqlPath()
	if err != nil {
		return nil, err
	}
	env := server.Environment(srv.Role)
	list := []*program{
		{name: "bare Go process", args: []string{w.bare}, env: env},
		{name: "psql", args: []string{psql, "-Xqc", `\copy bare.mail (raw) from pstdin (format binary)`}, env: env, copy: true},
		deliverTo("mailrow-deliver", s.deliver, env, "one"),
		deliverTo("… without the supervisor", w.unguarded, env, "two"),
		deliverTo("… into another mailbox", s.deliver, env, "three", "--mailbox=Lists"),
	}
	if srv.Pooled != "" {
		list = append(list, deliverTo("… through PgBouncer", s.deliver, server.Environment(srv.Pooled), "four"))
	}
	return list, nil
}

// measureProcesses runs one process per mail, from exec to exit. Every program
// stores every mail, in an order that changes with the mail; the variants of
// mailrow-deliver store it in accounts of their own, so it is new to each.
func measureProcesses(ctx context.Context, r *report.Report, srv *server.Server, s settings, sample [][]byte) error {
	w, err := newWorkplace(ctx)
	if err != nil {
		return err
	}
	defer w.remove()
	list, err := programs(s, srv, w)
	if err != nil {
		return err
	}
	// The first deliveries make accounts and mailboxes.
	if err := w.put(mail.Make(rand.New(rand.NewPCG(5, 6)), 5000)); err != nil {
		return err
	}
	for _, p := range list {
		if err := w.time(ctx, p); err != nil {
			return err
		}
		p.wall, p.cpu = nil, nil
	}
	for i, raw := range sample {
		if err := w.put(raw); err != nil {
			return err
		}
		for j := range list {
			if err := w.time(ctx, list[(i+j)%len(list)]); err != nil {
				return err
			}
		}
	}
	bare, psql, ours := list[0], list[1], list[2]
	t := report.Table{Title: "One process per mail, exec to exit",
		Columns: []string{"", "median ms", "p10 ms", "CPU ms", "× bare", "× psql", "p10 × bare", "p10 × psql"},
		Notes:   "CPU is the client's, not the server's. Ratios of medians and of p10."}
	for _, p := range list {
		t.Add(p.name, report.Format(1000*p.wall.Median(), 2), report.Format(1000*p.wall.P10(), 2), report.Format(1000*p.cpu.Median(), 2),
			report.Format(p.wall.Median()/bare.wall.Median(), 2), report.Format(p.wall.Median()/psql.wall.Median(), 2),
			report.Format(p.wall.P10()/bare.wall.P10(), 2), report.Format(p.wall.P10()/psql.wall.P10(), 2))
	}
	r.Tables = append(r.Tables, t)
	r.Goals = append(r.Goals,
		report.Goal{What: "process per mail, median ÷ bare Go process", Target: 1.15, Got: ours.wall.Median() / bare.wall.Median()},
		report.Goal{What: "process per mail, median ÷ psql", Target: 1, Got: ours.wall.Median() / psql.wall.Median()})
	return nil
}

// measureMemory takes the peak of a small and of the largest mail.
func measureMemory(ctx context.Context, r *report.Report, srv *server.Server, s settings) error {
	w, err := newWorkplace(ctx)
	if err != nil {
		return err
	}
	defer w.remove()
	all, err := programs(s, srv, w)
	if err != nil {
		return err
	}
	list := all[:3]
	t := report.Table{Title: "Peak memory of the process", Columns: []string{"MB", "10 KB mail", "64 MiB mail"}}
	peaks := make([][2]float64, len(list))
	numbers := rand.New(rand.NewPCG(7, 8))
	for k, size := range []int{10_000, 64 << 20} {
		for range 5 {
			if err := w.put(mail.Make(numbers, size)); err != nil {
				return err
			}
			for i, p := range list {
				peak, err := w.peakOf(ctx, p)
				if err != nil {
					return err
				}
				peaks[i][k] = max(peaks[i][k], peak)
			}
			if size > 1<<20 {
				break // its pages outweigh the chance
			}
		}
	}
	for i, p := range list {
		t.Add(p.name, report.Format(peaks[i][0], 1), report.Format(peaks[i][1], 1))
	}
	const MB, size = 1e6, 64 << 20
	r.Tables = append(r.Tables, t)
	r.Goals = append(r.Goals,
		report.Goal{What: "peak memory, 10 KB mail", Target: 12, Got: peaks[2][0], Unit: " MB"},
		report.Goal{What: "peak memory, 64 MiB mail: 3 × size + 16 MB", Target: 3*size/MB + 16, Got: peaks[2][1], Unit: " MB"})
	return nil
}

func (w *workplace) peakOf(ctx context.Context, p *program) (megabytes float64, err error) {
	cmd, err := w.command(ctx, p, w.peak)
	if err != nil {
		return 0, err
	}
	defer cmd.Stdin.(*os.File).Close()
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.name, err)
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.name, err)
	}
	return float64(kib) * 1024 / 1e6, nil
}
