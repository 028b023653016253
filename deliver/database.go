package deliver

import (
	"context"
	"fmt"

	"mailrow/store"
)

// database is a connection in the making: the server starts its part while the
// mail is still being read.
type database struct {
	done chan struct{} // closed when conn or err is there
	conn *store.Conn
	err  error
}

func connect(ctx context.Context, dsn string) *database {
	d := &database{done: make(chan struct{})}
	go func() {
		defer close(d.done)
		defer func() {
			if p := recover(); p != nil {
				d.err = fmt.Errorf("connect to database: internal error: %v", p)
			}
		}()
		config, err := store.ParseConfig(dsn)
		if err != nil {
			d.err = err
			return
		}
		d.conn, d.err = store.Connect(ctx, config)
	}()
	return d
}

// connection waits until the connection stands.
func (d *database) connection() (*store.Conn, error) {
	<-d.done
	return d.conn, d.err
}

// close says goodbye without waiting for an answer: what is committed is
// committed, and the process is about to end.
func (d *database) close() {
	select {
	case <-d.done:
		if d.conn != nil {
			d.conn.Close(context.Background())
		}
	default:
	}
}
