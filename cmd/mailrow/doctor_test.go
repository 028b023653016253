package main

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"strings"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/internal/mtatest"
	"mailrow/internal/needs"
	"mailrow/internal/pgtest"
	"mailrow/store/access"
	"mailrow/store/archive/archivetest"
)

// The whole of mailrow setup postgres in force: the operator connects as one
// role, the probe, like a mail server's delivery, as another user and role.
func TestDoctorWithPeerAuthentication(t *testing.T) {
	if os.Getuid() != 0 {
		needs.Missing(t, "the right to change users", needs.Root)
	}
	cluster := pgtest.New(t, nil)
	admin := archivetest.Connect(t, deliverytest.DatabaseOn(t, cluster))
	s := access.Setup{
		Database: admin.Config().Database, SocketDir: cluster.SocketDir(),
		Role: "mailrow", Users: []string{mtatest.LocalUser},
		Admin: "mailrow_admin", Operator: "root",
	}
	text := map[string]string{}
	for _, file := range access.Files() {
		var err error
		if text[file], err = s.Fragment(file); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.Exec(context.Background(), text["roles.sql"]); err != nil {
		t.Fatal(err)
	}
	cluster.Ident(t, text["pg_ident.conf"])
	cluster.HBA(t, text["pg_hba.conf"], "local all all reject")
	_, dsn, _ := strings.Cut(text["mailrow.toml"], `database = "`)
	config := deliverytest.Config(t, strings.TrimSuffix(strings.TrimSpace(dsn), `"`))
	operator := "postgres:///" + s.Database + "?" + url.Values{"host": {s.SocketDir}, "user": {s.Admin}}.Encode()

	doctor := func(user string) (exit int, out string) {
		var stdout, stderr bytes.Buffer
		exit = run([]string{"--config", config, "--database", operator, "doctor",
			"--deliver", deliverytest.Program(t), "--user", user}, os.Getenv, nil, &stdout, &stderr)
		return exit, stdout.String() + stderr.String()
	}
	exit, out := doctor(mtatest.LocalUser)
	if exit != 0 || strings.Contains(out, "fail") || !strings.Contains(out, "probe mail     stored byte for byte") {
		t.Errorf("exit %d\n%s", exit, out)
	}
	exit, out = doctor("daemon")
	if exit != 1 || !strings.Contains(out, "fail  probe mail     mailrow-deliver ended with exit status 75: 4.3.5") {
		t.Errorf("user without a place in pg_ident.conf: exit %d\n%s", exit, out)
	}
}
