package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"mailrow/bench/server"
	"mailrow/bench/usage"
)

// pgbenchScript writes a script with which so many clients insert every mail once
// between them, each in a statement and a commit of its own. pgbench knows no
// bytes, so they stand in it in hexadecimal. The clients have shares of like size.
func pgbenchScript(path string, clients int, mails [][]byte) error {
	shares, load := make([][][]byte, clients), make([]float64, clients)
	for _, raw := range mails {
		least := 0
		for i := range load {
			if load[i] < load[least] {
				least = i
			}
		}
		shares[least] = append(shares[least], raw)
		load[least] += 20_000 + float64(len(raw)) // a commit takes as long as so many bytes
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	for i, share := range shares {
		fmt.Fprintf(out, "\\if :client_id = %d\n", i)
		for _, raw := range share {
			fmt.Fprintf(out, "insert into bare.mail (raw) values ('\\x%s');\n", hex.EncodeToString(raw))
		}
		fmt.Fprintln(out, "\\endif")
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return f.Close()
}

var rateOfPgbench = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// pgbench runs a script of pgbenchScript once, and gives what it took; connecting
// does not count by the clock.
func pgbench(ctx context.Context, servers []int, dsn, path string, clients int) (s spent, err error) {
	n := strconv.Itoa(clients)
	cmd := exec.CommandContext(ctx, pgbenchProgram(), "-n", "-f", path, "-c", n, "-j", strconv.Itoa(min(clients, 2)), "-t", "1")
	cmd.Env = server.Environment(dsn)
	before := usage.CPU(servers...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	found := rateOfPgbench.FindSubmatch(out)
	if found == nil {
		return s, fmt.Errorf("pgbench gives no rate:\n%s", out)
	}
	scripts, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil || scripts == 0 {
		return s, fmt.Errorf("pgbench gives the rate %s: %w", found[1], err)
	}
	s.wall = float64(clients) / scripts
	s.cpu = usage.CPU(servers...) - before + (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return s, nil
}

// pgbenchProgram is the real one where Debian has a script around it.
func pgbenchProgram() string {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench"); len(found) > 0 {
		return found[len(found)-1]
	}
	return "pgbench"
}
