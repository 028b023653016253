package deliverytest_test

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailrow/internal/deliverytest"
	"mailrow/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestNobodyDelivers(t *testing.T) {
	dsn := deliverytest.Database(t)
	config := deliverytest.Config(t, deliverytest.AsDeliverer(dsn), `mailbox = "Test"`)
	cmd := exec.Command(deliverytest.Program(t), "--config", config, "-f", "", "--", "bob@row.test")
	cmd.Stdin = strings.NewReader("Subject: x\n\nbody\n")
	cmd.Dir, cmd.Env = "/", []string{}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t)}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := deliverytest.Rows(t, dsn, "select sender, recipient, mailbox, client_helo from mailrow.mail where subject = $1", "x")
	if diff := cmp.Diff([]string{"|bob@row.test|Test|NULL"}, got); diff != "" {
		t.Error(diff)
	}
}

func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
