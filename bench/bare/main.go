// Bare is the least that a Go program can do to store a mail with PostgreSQL:
// connect, insert the bytes of standard input, say goodbye. It parses nothing,
// keeps no mail from coming twice and tells an MTA nothing. The benchmark holds
// mailrow-deliver against it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/jackc/pgx/v5/pgconn"
)

func main() {
	if err := insert(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func insert(ctx context.Context) error {
	raw, err := io.ReadAll(os.Stdin)
	if err != nil {
		return fmt.Errorf("read mail: %w", err)
	}
	conn, err := pgconn.Connect(ctx, "") // PG* in the environment says where
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	const bytea, binary = 17, 1
	result := conn.ExecParams(ctx, "insert into bare.mail (raw) values ($1)",
		[][]byte{raw}, []uint32{bytea}, []int16{binary}, nil).Read()
	return result.Err
}
