// Package doctor examines an installation: the configuration, the database and
// the way of a mail from mailrow-deliver to its row.
package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"mailrow/cmd/mailrow/remedy"
	"mailrow/deliver"
)

// Status is how a check ended.
type Status string

const (
	OK   Status = "ok"
	Warn Status = "warn" // works, but somebody should know
	Fail Status = "fail" // mail will not be stored, or not safely
)

// Check is one finding. Remedy says what to do where that is not clear.
type Check struct {
	Name   string `json:"check"`
	Status Status `json:"status"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// Doctor is what is to be examined.
type Doctor struct {
	ConfigPath string // "" for the default file
	Database   string // --database, "" without it

	// Connect opens the operator's connection.
	Connect func(context.Context) (*pgx.Conn, error)

	Deliver string   // absolute path of mailrow-deliver
	User    string   // Unix user to run it as; "" for the doctor's own
	Environ []string // of the operator

	// Command tells of a program that is about to run, for the log.
	Command func(args []string)

	checks []Check
}

// Examine makes all checks, in an order in which a failure explains those after it.
func (d *Doctor) Examine(ctx context.Context) []Check {
	d.checks = nil
	config, configured := d.configuration()
	conn, err := d.Connect(ctx)
	if err != nil {
		d.failed("connection", err)
		return d.checks
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if !d.server(ctx, conn) || !d.schema(ctx, conn) {
		return d.checks
	}
	d.readable(ctx, conn)
	if configured {
		d.deliverer(ctx, conn, config)
	}
	d.durability(ctx, conn)
	d.connections(ctx, conn)
	d.disk(ctx, conn)
	if configured {
		d.probe(ctx, conn, config)
	}
	return d.checks
}

func (d *Doctor) add(name string, status Status, remedy, format string, args ...any) {
	d.checks = append(d.checks, Check{name, status, fmt.Sprintf(format, args...), remedy})
}

func (d *Doctor) failed(name string, err error) {
	d.add(name, Fail, remedy.For(err), "%s", strings.Join(strings.Fields(err.Error()), " "))
}

func (d *Doctor) configuration() (config deliver.Config, usable bool) {
	path := d.ConfigPath
	if path == "" {
		path = deliver.DefaultConfigPath
	}
	config, err := deliver.ReadConfig(d.ConfigPath)
	switch {
	case err != nil:
		d.add("configuration", Fail, "correct it: until then mailrow-deliver defers all mail", "%v", err)
		return config, false
	case exists(path):
		d.add("configuration", OK, "", "%s", path)
	default:
		d.add("configuration", OK, "", "no file %s: defaults hold", path)
	}
	return config, true
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
