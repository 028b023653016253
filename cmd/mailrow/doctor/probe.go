package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"mailrow/deliver"
	"mailrow/store/archive"
)

const (
	probeTimeout   = 90 * time.Second
	rowTimeout     = 5 * time.Second
	cleanUpTimeout = 30 * time.Second
)

// probesConfigured tells whether mailrow-deliver finds its database in the
// configuration file, as it does when a mail server runs it. Otherwise the probe
// gets the operator's environment and --database.
func (d *Doctor) probesConfigured(config deliver.Config) bool { return config.Database != "" }

// probe sends a mail to an account of its own through the real program, looks
// at its row, and removes both.
func (d *Doctor) probe(ctx context.Context, conn *pgx.Conn, config deliver.Config) {
	if !d.program(ctx) {
		return
	}
	var owner bool
	if err := conn.QueryRow(ctx, `select pg_has_role(current_user, 'mailrow_owner', 'usage')`).Scan(&owner); err != nil || !owner {
		d.add("probe mail", Warn, "connect as an administrator with --database", "not sent: this role could not remove it again")
		return
	}
	account := "doctor-" + strings.ToLower(rand.Text()) + "@mailrow.invalid"
	defer d.cleanUp(ctx, conn, account)
	mail := probeMail(account)
	start := time.Now()
	if err := d.deliver(ctx, config, account, mail); err != nil {
		d.add("probe mail", Fail, "correct what it says; the mail server would defer all mail for it", "%v", err)
		return
	}
	took := time.Since(start)
	got, id, err := d.await(ctx, conn, account)
	switch {
	case errors.Is(err, archive.ErrNotFound):
		d.add("probe mail", Fail, "let both use the same database: see database in the configuration file, DATABASE_URL and --database",
			"mailrow-deliver says that it is stored, but it is not in this database")
	case err != nil:
		d.failed("probe mail", err)
	case !bytes.Equal(got, mail):
		d.add("probe mail", Fail, "report it with both", "row %d holds other bytes than were sent", id)
	default:
		d.add("probe mail", OK, "", "stored byte for byte in %d ms, %s", took.Milliseconds(), d.asWhom(config))
	}
}

// program looks at mailrow-deliver itself.
func (d *Doctor) program(ctx context.Context) bool {
	info, err := os.Stat(d.Deliver)
	if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		d.add("program", Fail, "install it there, or name another with --deliver", "%s is not a program", d.Deliver)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, d.Deliver, "--version").Output()
	version := strings.Join(strings.Fields(string(out)), " ")
	switch {
	case err != nil || !strings.HasPrefix(version, "mailrow-deliver "):
		d.add("program", Fail, "install mailrow-deliver there, or name another with --deliver", "%s is not mailrow-deliver", d.Deliver)
		return false
	case strings.Contains(version, "not supervised"):
		d.add("program", Warn, "build it with make, so that even a crash makes the mail server try again", "%s: %s", d.Deliver, version)
	default:
		d.add("program", OK, "", "%s: %s", d.Deliver, version)
	}
	return true
}

// asWhom says how far the probe is like a delivery of the mail server.
func (d *Doctor) asWhom(config deliver.Config) string {
	who := "as this user (--user NAME tries that of the mail server)"
	if d.User != "" {
		who = "as user " + d.User
	}
	if !d.probesConfigured(config) {
		who += ", with the environment of this shell, since no configuration file names the database"
	}
	return who
}

// probeMail has what is easily lost: NUL, 8-bit, bare CR, dots, no final newline.
func probeMail(account string) []byte {
	return fmt.Appendf(nil, "From: mailrow doctor <%s>\nTo: <%[1]s>\nSubject: =?utf-8?q?Probe_=E2=9C=93?=\n"+
		"Date: %s\nMessage-ID: <%[1]s>\n\nNUL \x00, 8-bit \xff\xc3\xa9, CR \r here\n.\nFrom here\nno newline at the end",
		account, time.Now().Format(time.RFC1123Z))
}

// deliver runs the program; its error is what it said.
func (d *Doctor) deliver(ctx context.Context, config deliver.Config, account string, mail []byte) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	args := []string{"--account=" + account, "--mailbox=INBOX", "--unknown=create", "-f", ""}
	if d.ConfigPath != "" {
		args = append(args, "--config="+d.ConfigPath)
	}
	environ := d.Environ
	switch {
	case d.probesConfigured(config):
		environ = []string{"PATH=/usr/bin:/bin", "LANG=C"}
	case d.Database != "":
		args = append(args, "--database="+d.Database)
	}
	cmd := exec.CommandContext(ctx, d.Deliver, append(args, "--", account)...)
	cmd.Dir, cmd.Env = "/", environ
	cmd.Stdin = bytes.NewReader(mail)
	if d.User != "" {
		credential, err := credentialOf(d.User)
		if err != nil {
			return err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	}
	if d.Command != nil {
		d.Command(cmd.Args)
	}
	out, err := cmd.CombinedOutput()
	said := strings.Join(strings.Fields(string(out)), " ")
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return fmt.Errorf("mailrow-deliver ended with %s: %s", exit, said)
	case err != nil:
		return fmt.Errorf("run mailrow-deliver: %w", err)
	case said != "":
		return fmt.Errorf("mailrow-deliver was to be silent, and said: %s", said)
	}
	return nil
}

func credentialOf(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("run mailrow-deliver as %s: %w", name, err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("run mailrow-deliver as %s: %w", name, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// await waits for the row: what was committed may be a moment late where this
// connection is not the one that wrote.
func (d *Doctor) await(ctx context.Context, conn *pgx.Conn, account string) (raw []byte, id int64, err error) {
	for deadline := time.Now().Add(rowTimeout); ; {
		list, err := archive.List(ctx, conn, archive.Filter{Account: account})
		if err != nil {
			return nil, 0, err
		}
		if len(list) > 0 {
			var b bytes.Buffer
			err := archive.WriteRaw(ctx, conn, list[0].ID, &b)
			return b.Bytes(), list[0].ID, err
		}
		if time.Now().After(deadline) {
			return nil, 0, archive.ErrNotFound
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// cleanUp removes the probe's account also when the doctor was interrupted.
func (d *Doctor) cleanUp(ctx context.Context, conn *pgx.Conn, account string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	if err := archive.DeleteAccount(ctx, conn, account); err != nil {
		d.add("clean-up", Fail, "select mailrow.delete_account('"+account+"')", "the probe mail is still there: %v", err)
	}
}
