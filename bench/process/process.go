// Package process measures programs that store one mail each, from exec to exit.
package process

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mailrow/bench/report"
	"mailrow/internal/scratch"
)

// Program is one way to store a mail in a process of its own.
type Program struct {
	Name string
	Args []string
	Env  []string
	Copy bool // it reads a row in the format of COPY

	Wall, CPU report.Series // seconds, as far as it ran; CPU is its own and its children's
}

// Place has the mail as files, and the programs that were built for the run.
type Place struct {
	dir  *scratch.Dir
	peak string
}

// New makes a place. The caller removes it.
func New(ctx context.Context) (*Place, error) {
	dir, err := scratch.New()
	if err != nil {
		return nil, err
	}
	w := &Place{dir: dir}
	if w.peak, err = w.Build(ctx, "bench/peak"); err != nil {
		w.Remove()
		return nil, err
	}
	return w, nil
}

// Remove removes it.
func (w *Place) Remove() { w.dir.Remove() }

// Build builds a program of this module and gives its path.
func (w *Place) Build(ctx context.Context, source string) (path string, err error) {
	path = filepath.Join(w.dir.Path, filepath.Base(source))
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "mailrow/"+source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", source, err, text)
	}
	return path, nil
}

// Put writes a mail as a file, and as psql gets it fastest: as a row in the
// binary format of COPY, a little cheaper than an insert with the mail in
// hexadecimal.
func (w *Place) Put(raw []byte) error {
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

func (w *Place) file(copy bool) string {
	if copy {
		return filepath.Join(w.dir.Path, "mail.copy")
	}
	return filepath.Join(w.dir.Path, "mail.eml")
}

// command is the program about to store the mail that was put.
func (w *Place) command(ctx context.Context, p *Program, before ...string) (*exec.Cmd, error) {
	args := append(before, p.Args...)
	stdin, err := os.Open(w.file(p.Copy))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir = p.Env, "/"
	cmd.Stdin, cmd.Stderr = stdin, os.Stderr
	return cmd, nil
}

// Time runs a program once, on the mail that was put.
func (w *Place) Time(ctx context.Context, p *Program) error {
	cmd, err := w.command(ctx, p)
	if err != nil {
		return err
	}
	defer cmd.Stdin.(*os.File).Close()
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	p.Wall = append(p.Wall, time.Since(start).Seconds())
	p.CPU = append(p.CPU, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	return nil
}

// Peak runs a program once, and gives the most memory that it and its children had.
func (w *Place) Peak(ctx context.Context, p *Program) (megabytes float64, err error) {
	cmd, err := w.command(ctx, p, w.peak)
	if err != nil {
		return 0, err
	}
	defer cmd.Stdin.(*os.File).Close()
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.Name, err)
	}
	return peakIn(out)
}

// Cost is what a run took.
type Cost struct {
	Wall, CPU float64 // seconds; CPU is of the program and its children
	Peak      float64 // MB of memory, the most that it or a child had
}

// Run runs a program to its end, without an input. What it says is in its error.
func (w *Place) Run(ctx context.Context, p *Program) (Cost, error) {
	cmd := exec.CommandContext(ctx, w.peak, p.Args...)
	cmd.Env, cmd.Dir = p.Env, "/"
	var said bytes.Buffer
	cmd.Stderr = &said
	start := time.Now()
	out, err := cmd.Output()
	if err != nil {
		return Cost{}, fmt.Errorf("%s: %w\n%s", p.Name, err, &said)
	}
	cost := Cost{Wall: time.Since(start).Seconds(), CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}
	cost.Peak, err = peakIn(out)
	return cost, err
}

// peakIn reads what program peak prints.
func peakIn(out []byte) (megabytes float64, err error) {
	kib, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read peak of memory: %w", err)
	}
	return float64(kib) * 1024 / 1e6, nil
}

// PSQL inserts the mail into the bare table by psql: the real program, since Debian's
// psql in the PATH is a script that looks for it.
func PSQL(env []string) (*Program, error) {
	path := ""
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/psql"); len(found) > 0 {
		path = found[len(found)-1]
	} else {
		var err error
		if path, err = exec.LookPath("psql"); err != nil {
			return nil, err
		}
	}
	return &Program{Name: "psql", Args: []string{path, "-Xqc", `\copy bare.mail (raw) from pstdin (format binary)`}, Env: env, Copy: true}, nil
}

// Deliver is mailrow-deliver as pipe(8) runs it, for an account of its own.
func Deliver(name, path string, env []string, account string, flags ...string) *Program {
	args := append([]string{path, "-f", "sender@example.net", "--client-address=192.0.2.7",
		"--client-helo=relay.example.net", "--client-protocol=ESMTP", "--queue-id=4XyZ1"}, flags...)
	return &Program{Name: name, Args: append(args, "--", account+"@example.org"), Env: env}
}
