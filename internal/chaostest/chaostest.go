// Package chaostest is a network between a client and a real server that breaks:
// each connection is cut after a random number of bytes of one direction.
package chaostest

import (
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy passes connections on to a server until it cuts them.
type Proxy struct {
	l      net.Listener
	target string
	most   float64
	cuts   atomic.Int64
	calm   atomic.Bool
	next   atomic.Int64

	mu     sync.Mutex
	random *rand.Rand
	conns  []net.Conn
	wg     sync.WaitGroup
}

// Start passes connections to target until the test ends. most is the largest
// number of bytes after which one is cut; small ones are as likely as large ones.
func Start(t testing.TB, target string, most int) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	p := &Proxy{l: l, target: target, most: float64(most), random: rand.New(rand.NewPCG(seed, 1))}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("chaos: seed %d, %d cuts", seed, p.Cuts())
		}
		l.Close()
		p.mu.Lock()
		for _, conn := range p.conns {
			conn.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// Addr is host:port.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Cuts is how many connections were cut.
func (p *Proxy) Cuts() int { return int(p.cuts.Load()) }

// CutNext cuts the next connection after so many bytes of the server, and no other.
func (p *Proxy) CutNext(bytes int) {
	p.calm.Store(true)
	p.next.Store(int64(bytes))
}

// Calm lets connections live that begin from now on.
func (p *Proxy) Calm() { p.calm.Store(true) }

// Rage ends the calm.
func (p *Proxy) Rage() { p.calm.Store(false) }

func (p *Proxy) serve() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		// The client says little: a tenth of its bytes are as much as all of the server's.
		limit, up := math.Exp(p.random.Float64()*math.Log(p.most)), p.random.IntN(2) == 0
		p.mu.Unlock()
		fromClient, fromServer := int64(math.MaxInt64), int64(limit)
		if up {
			fromClient, fromServer = int64(limit/10), math.MaxInt64
		}
		if p.calm.Load() {
			fromClient, fromServer = math.MaxInt64, math.MaxInt64
		}
		if n := p.next.Swap(0); n > 0 {
			fromServer = n
		}
		p.wg.Go(func() { p.pass(server, client, fromClient) })
		p.wg.Go(func() { p.pass(client, server, fromServer) })
	}
}

// pass ends both connections when one ends or the limit is reached.
func (p *Proxy) pass(to, from net.Conn, limit int64) {
	n, _ := io.Copy(to, io.LimitReader(from, limit)) // its end is an end like any other
	if n == limit {
		p.cuts.Add(1)
	}
	to.Close()
	from.Close()
}
