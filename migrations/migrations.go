// Package migrations holds the database schema as SQL, forward only.
package migrations

import (
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed *.sql
var files embed.FS

// Migration is one step of the schema. A released one never changes.
type Migration struct {
	Version int
	Name    string // file name, such as 0001_mail.sql
	SQL     string
}

// Roles makes the roles and schemas; it runs before any migration, as the
// connected role. Rights sets what each role may do; it runs after every
// migration, as mailrow_owner. Both are idempotent.
func Roles() string  { return read("roles.sql") }
func Rights() string { return read("rights.sql") }

// All gives the migrations, oldest first; their versions count up from 1.
func All() []Migration {
	names, err := fs.Glob(files, "[0-9]*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	list := make([]Migration, len(names))
	for i, name := range names {
		version, err := strconv.Atoi(strings.SplitN(name, "_", 2)[0])
		if err != nil || version != i+1 {
			panic(fmt.Sprintf("migration %s is not number %d", name, i+1))
		}
		list[i] = Migration{Version: version, Name: name, SQL: read(name)}
	}
	return list
}

func read(name string) string {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(err) // embedded
	}
	return string(b)
}
