package access_test

import (
	"strings"
	"testing"
)

// A reader sees the alarms of the accounts that it may read, and not where their mail
// comes from.
func TestReadersSeeTheirAlarms(t *testing.T) {
	d := setUp(t)
	for _, name := range []string{"alice", "bob"} {
		d.exec(t, `with s as (insert into mailrow.sources (name, uri, account)
				values ('`+secret+name+`', 'maildir:///`+secret+`', '`+name+`@example.org') returning source_id)
			insert into mailrow.source_alarms (source_id, kind, reason) select source_id, 'silent', '`+secret+`' from s`)
	}
	d.exec(t, `with s as (insert into mailrow.sources (uri, recipient) values ('mbox:///`+secret+`', 'carol@example.org') returning source_id)
		insert into mailrow.source_alarms (source_id, kind, reason) select source_id, 'failing', '`+secret+`' from s`)
	none, one, all := d.role(t, "foreigner", "login in role mailrow_reader"), d.role(t, "reader of alice", "login"), d.role(t, "reader of all", "login")
	d.allow(t, one, account("alice"))
	d.allow(t, all, nil)
	for role, want := range map[string]string{none: "", one: "alice@example.org silent", all: "- failing,alice@example.org silent,bob@example.org silent"} {
		for _, from := range []string{"account_alarms", "my_alarms()"} {
			query := `select coalesce(string_agg(coalesce(account, '-') || ' ' || kind, ',' order by coalesce(account, '-')), '') from mailrow.` + from
			got, _, _ := strings.Cut(d.text(t, role, query), "|")
			if got != want {
				t.Errorf("%s, as %s: %q, want %q", from, role, got, want)
			}
			d.wantNoSecret(t, role, "select x::text from mailrow."+from+" x")
		}
	}
	refused(t, d.as(t, all), "select from mailrow.alarms", "select from mailrow.source_alarms")
}
