package pgtest_test

import (
	"testing"

	"mailrow/internal/pgtest"
)

func TestFullDisk(t *testing.T) {
	c := pgtest.NewOnTmpfs(t, map[string]string{"max_wal_size": "64MB", "min_wal_size": "32MB"}, 192)
	dsn := c.Database(t)
	conn := connect(t, dsn)
	if _, err := conn.Exec(t.Context(), "create table t as select 1 as n"); err != nil {
		t.Fatal(err)
	}
	c.FillDisk(t)
	if _, err := conn.Exec(t.Context(), "insert into t select generate_series(1, 100000)"); sqlState(err) != "53100" {
		t.Errorf("with a full disk: %v", err)
	}
	c.FreeDisk(t)
	c.FillDisk(t)
	c.ExhaustWAL(t)
	c.FreeDisk(t)
	if got := value[int](t, dsn, "select count(*)::int from t"); got != 1 {
		t.Errorf("%d rows", got)
	}
}
