package main

import (
	"fmt"
	"sync"
	"time"
)

// waiting tells on standard error why work stands still: at once, and then a line a
// minute while it does.
func (p *program) waiting() func(error) {
	var mutex sync.Mutex
	var told time.Time
	return func(err error) {
		mutex.Lock()
		defer mutex.Unlock()
		if time.Since(told) < time.Minute {
			return
		}
		told = time.Now()
		if isTerminal(p.err) {
			fmt.Fprint(p.err, "\r\x1b[K") // where the progress is
		}
		fmt.Fprintln(p.err, "mailrow: waiting for the database: "+line(err))
	}
}
