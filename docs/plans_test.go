package docs

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailrow/internal/deliverytest"
)

// wholeTable is a step of a plan that reads all of a table that grows with the mail.
var wholeTable = regexp.MustCompile(`Seq Scan on (messages|deliveries|message_parts|message_addresses|blobs|thread_ids)\b`)

// No example reads a whole table where there are a million messages.
func TestPlansOfSQLExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a million messages")
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, deliverytest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	fill, err := os.ReadFile("plans_fill.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, statements := range []string{"set mailrow.scale = 1000000", string(fill), "vacuum analyze"} {
		if _, err := conn.PgConn().Exec(ctx, statements).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	explained := 0
	for _, example := range blocks(t, "sql", "../README.md", "sql.md") {
		for statement := range strings.SplitSeq(example.text, ";\n") {
			if !strings.HasPrefix(statement, "select") || strings.Contains(statement, "delete_") || strings.Contains(statement, "routes") {
				continue
			}
			rows, err := conn.Query(ctx, "explain "+statement)
			if err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Errorf("%s: %v", statement, err)
				continue
			}
			explained++
			if text := strings.Join(plan, "\n"); wholeTable.MatchString(text) {
				t.Errorf("%s\n%s", statement, text)
			}
		}
	}
	if explained < 25 {
		t.Errorf("only %d examples were explained", explained)
	}
}
