package archive_test

import (
	"context"
	"maps"
	"testing"

	"mailrow/internal/deliverytest"
	"mailrow/store/archive"
	"mailrow/store/archive/archivetest"
)

const twoParts = "From: Ann <ann@example.net>\nTo: bob@example.org\nSubject: two\nMIME-Version: 1.0\n" +
	"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: text/x-log; name=x.log\n\na line\n--b--\n"

func TestReparseTellsWhatChanged(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	archivetest.Deliver(t, dsn, "a@example.org", twoParts)
	archivetest.Deliver(t, dsn, "a@example.org", "Subject: plain\n\nplain\n")
	tests := []struct {
		name, sql string
		want      map[string]int64
	}{
		{"nothing", `select`, nil},
		{"column", `update mailrow.messages set subject = 'one' where subject = 'two'`, map[string]int64{"subject": 1}},
		{"part missing", `delete from mailrow.message_parts where section = '2'`, map[string]int64{"parts": 1}},
		{"parts missing", `delete from mailrow.message_parts`, map[string]int64{"parts": 2}},
		{"part beyond", `update mailrow.message_parts set body_end = 999999 where section = '2'`, map[string]int64{"parts": 1}},
		{"attachment of another hash", `update mailrow.message_parts set sha256 = sha256('x') where attachment`, map[string]int64{"parts": 1}},
		{"how a part is kept", `update mailrow.message_parts set kept = 'blob' where not attachment`, nil},
		{"address missing", `delete from mailrow.message_addresses where field = 'to'`, map[string]int64{"addresses": 1}},
		{"name", `update mailrow.message_addresses set name = 'Bob' where field = 'to'`, map[string]int64{"addresses": 1}},
		{"both", `delete from mailrow.message_addresses; delete from mailrow.message_parts where section = '2'`,
			map[string]int64{"addresses": 1, "parts": 1}},
	}
	for _, test := range tests {
		if _, err := conn.Exec(ctx, test.sql); err != nil {
			t.Fatal(err)
		}
		for i, want := range []map[string]int64{test.want, nil} {
			sum, err := archive.Reparse(ctx, conn, archive.Reparsing{All: true}, func(archive.Reparsed) {})
			if err != nil || sum.Messages != 2 || len(sum.Failed) > 0 || !maps.Equal(sum.Columns, want) {
				t.Errorf("%s, %d: got %+v, %v, want %v", test.name, i+1, sum, err, want)
			}
		}
	}
}

// What an older parser has read is read again, once.
func TestReparseGoesOnWhereItWas(t *testing.T) {
	ctx := context.Background()
	dsn := deliverytest.Database(t)
	conn := archivetest.Connect(t, dsn)
	archivetest.Deliver(t, dsn, "a@example.org", twoParts)
	archivetest.Deliver(t, dsn, "b@example.org", twoParts)
	if _, err := conn.Exec(ctx, `update mailrow.messages set parser = 1; delete from mailrow.message_parts`); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		which archive.Reparsing
		want  int64
	}{
		{archive.Reparsing{Account: "b@example.org"}, 1},
		{archive.Reparsing{}, 1},
		{archive.Reparsing{}, 0},
		{archive.Reparsing{All: true}, 2},
	} {
		n, err := archive.ReparseCount(ctx, conn, test.which)
		if err != nil || n != test.want {
			t.Errorf("%+v: %d to do, want %d: %v", test.which, n, test.want, err)
		}
		sum, err := archive.Reparse(ctx, conn, test.which, func(archive.Reparsed) {})
		if err != nil || sum.Messages != test.want {
			t.Errorf("%+v: got %+v, want %d: %v", test.which, sum, test.want, err)
		}
	}
}
