package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"

	"mailrow/deliver"
	"mailrow/store/schema"
)

// server says where we are, and whether mailrow can live there.
func (d *Doctor) server(ctx context.Context, conn *pgx.Conn) bool {
	var role, database, version string
	var number int
	var readOnly bool
	err := conn.QueryRow(ctx, `
		select current_user, current_database(), current_setting('server_version'),
		       current_setting('server_version_num')::integer,
		       pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean`,
	).Scan(&role, &database, &version, &number, &readOnly)
	if err != nil {
		d.failed("connection", err)
		return false
	}
	d.add("connection", OK, "", "database %s at %s as role %s", database, conn.Config().Host, role)
	if number/10000 < schema.OldestServer {
		d.add("server", Fail, "upgrade the server", "PostgreSQL %s; mailrow needs %d or newer", version, schema.OldestServer)
		return false
	}
	if readOnly {
		d.add("server", Fail, "connect to the primary, or unset default_transaction_read_only",
			"PostgreSQL %s accepts no writes: a standby, or read-only by configuration", version)
		return false
	}
	d.add("server", OK, "", "PostgreSQL %s", version)
	return true
}

func (d *Doctor) schema(ctx context.Context, conn *pgx.Conn) bool {
	version, err := schema.Version(ctx, conn)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == "42501":
		d.add("schema", Warn, "connect as an administrator with --database", "this role may not read the version of the schema")
		return true
	case err != nil:
		d.failed("schema", err)
	case version == 0:
		d.add("schema", Fail, "run mailrow migrate", "there is none in this database")
	case version < schema.Wanted():
		d.add("schema", Fail, "run mailrow migrate", "version %d; this program wants %d", version, schema.Wanted())
	case version > schema.Wanted():
		d.add("schema", Fail, "install the mailrow that migrated it", "version %d; this program knows %d", version, schema.Wanted())
	default:
		d.add("schema", OK, "", "version %d", version)
		return true
	}
	return false
}

// readable: an operator sees all mail, past row-level security.
func (d *Doctor) readable(ctx context.Context, conn *pgx.Conn) {
	var role string
	var owner bool
	err := conn.QueryRow(ctx, `
		select current_user, pg_has_role(current_user, 'mailrow_owner', 'usage')`).Scan(&role, &owner)
	switch {
	case err != nil:
		d.failed("administrator", err)
	case owner:
		d.add("administrator", OK, "", "role %s sees and manages all mail", role)
	default:
		d.add("administrator", Warn, "connect as a superuser or a member of mailrow_owner with --database",
			"role %s is no administrator, so some checks are left out", role)
	}
}

// deliverer looks at the role that mailrow-deliver will connect as.
func (d *Doctor) deliverer(ctx context.Context, conn *pgx.Conn, config deliver.Config) {
	role, from := conn.Config().User, "the role of this connection"
	if d.probesConfigured(config) {
		parsed, err := pgconn.ParseConfig(config.Database)
		if err != nil {
			d.add("delivery role", Fail, "correct database in the configuration file", "the address of the database cannot be read")
			return
		}
		role, from = parsed.User, "of the configuration file"
	}
	var exists, super, may bool
	// By name from the catalog: to look a function up takes a right to its schema.
	err := conn.QueryRow(ctx, `
		select count(*) > 0, coalesce(bool_or(r.rolsuper), false),
		       coalesce(bool_and(has_schema_privilege(r.oid, p.pronamespace, 'usage')
		           and has_function_privilege(r.oid, p.oid, 'execute')), false)
		from pg_roles r
		left join pg_proc p on p.proname in ('deliver', 'deliver_one', 'deliver_next')
		     and p.pronamespace = (select oid from pg_namespace where nspname = 'mailrow_delivery')
		where r.rolname = $1`, role).Scan(&exists, &super, &may)
	switch {
	case err != nil:
		d.failed("delivery role", err)
	case !exists:
		d.add("delivery role", Fail, "mailrow setup postgres prints how to make it", "there is no role %s, %s", role, from)
	case !may:
		d.add("delivery role", Fail, "grant mailrow_deliver to "+pgx.Identifier{role}.Sanitize(), "role %s, %s, may not deliver", role, from)
	case super:
		d.add("delivery role", Warn, "deliver as a role of its own: mailrow setup postgres",
			"role %s, %s, may deliver, and everything else", role, from)
	default:
		d.add("delivery role", OK, "", "role %s, %s, may deliver", role, from)
	}
}

// durability: what was reported as stored must be there after a crash.
func (d *Doctor) durability(ctx context.Context, conn *pgx.Conn) {
	var fsync, pages, commit string
	err := conn.QueryRow(ctx, `
		select current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')`,
	).Scan(&fsync, &pages, &commit)
	switch {
	case err != nil:
		d.failed("durability", err)
	case fsync != "on":
		d.add("durability", Fail, "set fsync = on", "fsync is off: a crash of the machine may destroy the whole database")
	case pages != "on":
		d.add("durability", Warn, "set full_page_writes = on unless the file system writes whole pages by itself",
			"full_page_writes is off: a crash of the machine may tear pages")
	case commit == "off":
		d.add("durability", OK, "", "synchronous_commit is off, but deliveries wait for the disk all the same")
	default:
		d.add("durability", OK, "", "fsync on, full_page_writes on, synchronous_commit %s", commit)
	}
}

func (d *Doctor) connections(ctx context.Context, conn *pgx.Conn) {
	var used, most int
	err := conn.QueryRow(ctx, `
		select count(*), current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
		from pg_stat_activity where backend_type = 'client backend'`).Scan(&used, &most)
	switch {
	case err != nil:
		d.failed("connections", err)
	case used*10 >= most*8:
		d.add("connections", Warn, "raise max_connections, or let the mail server run fewer deliveries at once", "%d of %d are in use", used, most)
	default:
		d.add("connections", OK, "", "%d of %d are in use", used, most)
	}
}

const (
	diskFail = 256 << 20 // a few mails of maximal size, and the WAL of them
	diskWarn = 2 << 30
)

// disk looks at the room of the database, where the server is on this machine
// and the role may know its folder.
func (d *Doctor) disk(ctx context.Context, conn *pgx.Conn) {
	if conn.PgConn().Conn().RemoteAddr().Network() != "unix" {
		d.add("disk", OK, "", "not visible: the server is not reached by a Unix socket")
		return
	}
	var dir string
	err := conn.QueryRow(ctx, `
		select coalesce(nullif(pg_tablespace_location(dattablespace), ''), current_setting('data_directory'))
		from pg_database where datname = current_database()`).Scan(&dir)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		d.add("disk", OK, "", "not visible: the role may not see data_directory")
		return
	}
	if err != nil {
		d.failed("disk", err)
		return
	}
	for _, place := range []string{dir, filepath.Join(dir, "pg_wal")} {
		d.room(place, place == dir)
	}
}

func (d *Doctor) room(dir string, must bool) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		if must {
			d.add("disk", OK, "", "not visible: %v", &os.PathError{Op: "statfs", Path: dir, Err: err})
		}
		return
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	status, remedy := OK, ""
	switch {
	case free < diskFail:
		status, remedy = Fail, "make room: mail is deferred when the disk is full"
	case free < diskWarn:
		status, remedy = Warn, "make room"
	}
	d.add("disk", status, remedy, "%d MiB free in %s", free>>20, strings.TrimSuffix(dir, "/"))
}
