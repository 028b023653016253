package access_test

import (
	"context"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
	"mailrow/internal/scratch"
	"mailrow/store"
	"mailrow/store/access"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
	"mailrow/store/routing"
)

// Every fragment in the real server: the roles are made, peer lets the user of
// the test in as the delivering role, and mailrow.toml leads there.
func TestSetupLetsTheUserDeliver(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, every := range []bool{false, true} {
		cluster := pgtest.New(t, nil)
		dsn := deliverytest.DatabaseOn(t, cluster)
		admin := archivetest.Connect(t, dsn)
		s := access.Setup{
			Database:  admin.Config().Database,
			Role:      "mailrow",
			Users:     []string{"somebody.else"},
			EveryUser: every,
			Admin:     "mailrow_admin",
			Operator:  me.Username,
			SocketDir: cluster.SocketDir(),
		}
		if !every {
			s.Users = append(s.Users, me.Username)
		}
		if _, err := admin.Exec(context.Background(), fragment(t, s, "roles.sql")); err != nil {
			t.Fatal(err)
		}
		cluster.Ident(t, fragment(t, s, "pg_ident.conf"))
		cluster.HBA(t, fragment(t, s, "pg_hba.conf"))

		path := filepath.Join(scratch.ForTest(t), "mailrow.toml")
		if err := os.WriteFile(path, []byte(fragment(t, s, "mailrow.toml")), 0o644); err != nil {
			t.Fatal(err)
		}
		config, err := deliver.ReadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := archivetest.Store(config.Database, "bob@example.org", "Subject: x\n\nx\n"); err != nil {
			t.Errorf("every user %v: deliver: %v", every, err)
		}

		operate(t, archivetest.Connect(t, cluster.DSN(s.Admin, s.Database)))

		cluster.Ident(t, "mailrow nobody-at-all mailrow")
		if _, err := archivetest.Store(config.Database, "bob@example.org", "Subject: x\n\nx\n"); store.TroubleOf(err) != store.TroubleRights {
			t.Errorf("every user %v: without the map: %v", every, err)
		}
	}
}

// operate does what an operator's role must be able to.
func operate(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	ctx := context.Background()
	list, err := archive.List(ctx, conn, archive.Filter{})
	if err != nil || len(list) != 1 {
		t.Fatalf("list: %v, %v", list, err)
	}
	if err := archive.WriteRaw(ctx, conn, list[0].ID, io.Discard); err != nil {
		t.Error(err)
	}
	if err := access.Allow(ctx, conn, "alice", &list[0].Account); err != nil {
		t.Error(err)
	}
	if found, err := access.Withdraw(ctx, conn, "alice", &list[0].Account); err != nil || !found {
		t.Errorf("revoke: %v, %v", found, err)
	}
	if err := routing.Add(ctx, conn, routing.Route{Pattern: "*", Account: "all"}); err != nil {
		t.Error(err)
	}
	if err := archive.Delete(ctx, conn, list[0].ID); err != nil {
		t.Error(err)
	}
	if err := archive.DeleteAccount(ctx, conn, list[0].Account); err != nil {
		t.Error(err)
	}
}

func fragment(t *testing.T, s access.Setup, file string) string {
	t.Helper()
	text, err := s.Fragment(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSetupRefusesNamesThatNeedQuotes(t *testing.T) {
	good := access.Setup{Database: "mailrow", Role: "mailrow", Users: []string{"mailrow"}, Admin: "mailrow_admin", Operator: "root", SocketDir: "/run/postgresql"}
	tests := map[string]func(*access.Setup){
		"database": func(s *access.Setup) { s.Database = "mail row" },
		"role":     func(s *access.Setup) { s.Role = "x; drop table y" },
		"user":     func(s *access.Setup) { s.Users = []string{"/^(.*)$"} },
		"admin":    func(s *access.Setup) { s.Admin = "" },
		"operator": func(s *access.Setup) { s.Operator = "a b" },
		"socket":   func(s *access.Setup) { s.SocketDir = "localhost" },
	}
	for name, spoil := range tests {
		s := good
		spoil(&s)
		for _, file := range access.Files() {
			if text, err := s.Fragment(file); err == nil {
				t.Errorf("%s, %s: got %q, want an error", name, file, text)
			}
		}
	}
	for _, file := range access.Files() {
		if text := fragment(t, good, file); strings.Contains(text, "<no value>") {
			t.Errorf("%s: %s", file, text)
		}
	}
}
