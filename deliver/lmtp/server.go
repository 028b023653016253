// Package lmtp takes mail from an MTA over LMTP (RFC 2033): one reply for each
// recipient, and the mail byte for byte.
//
// Its law: only what was asked to be refused gets a 5xx reply. Whatever else goes
// wrong, a panic included, is 4xx, and the MTA tries again.
package lmtp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"time"

	"mailrow/internal/budget"
)

// Mail is one transaction.
type Mail struct {
	Sender     string // reverse-path, "" for the null one
	Recipients []Recipient
	Client     Client
	EnvelopeID string // ENVID of RFC 3461, decoded
	Return     string // RET of RFC 3461: FULL, HDRS or ""

	Raw []byte // valid until Deliver returns
}

// Recipient is one RCPT that was accepted.
type Recipient struct {
	Address  string // message.ForwardPath of what was given
	Original string // the address of ORCPT (RFC 3461), decoded; "" without
	Notify   string // NOTIFY of RFC 3461, as given
}

// DSN is what the sender asked of notifications about a recipient, in the words of
// RFC 3461: RET=, ENVID= and NOTIFY= in that order.
func (m *Mail) DSN(to Recipient) string {
	var asked []string
	for _, parameter := range [][2]string{{"RET", m.Return}, {"ENVID", m.EnvelopeID}, {"NOTIFY", to.Notify}} {
		if parameter[1] != "" {
			asked = append(asked, parameter[0]+"="+parameter[1])
		}
	}
	return strings.Join(asked, " ")
}

// Client is what the MTA tells of the client that it has the mail from, by
// XFORWARD; "" is what it does not know.
type Client struct {
	Name, Address, Protocol, Helo, QueueID string
}

// Reply is what a recipient gets.
type Reply struct {
	Code     int    // 250, 451, 452, 550, 552
	Enhanced string // RFC 3463
	Text     string
}

// Server answers any number of clients at once. Set its fields before use.
type Server struct {
	// Deliver stores a mail and gives a reply for each of its recipients, in their
	// order. A panic of it is 451 for all.
	Deliver func(context.Context, *Mail) []Reply

	// TakeOver delivers a mail that a process of ours has and hands over: head is what
	// it says of it. Without it there is no such command.
	TakeOver func(ctx context.Context, head, mail []byte) Reply

	// Ready tells whether mail can be taken at all. Where it cannot, a client is
	// greeted with 421 and comes again.
	Ready func(context.Context) error

	Hostname      string // what the greeting says
	MaxSize       int64  // bytes of a mail, as SIZE announces it; a larger one gets 552 5.3.4
	MaxRecipients int    // of a mail; those beyond get 452 4.5.3
	MaxClients    int    // at once; those beyond get 421 4.3.2

	// Memory is for all mails in hand, in bytes. A mail that does not fit gets 452
	// 4.3.1, before it is sent where its size is known. It must hold twice MaxSize.
	Memory *budget.Budget

	CommandTimeout time.Duration // for a command to come, or a reply to be taken
	DataTimeout    time.Duration // for the next piece of a mail to come
	DeliverTimeout time.Duration // for Deliver

	mu       sync.Mutex
	sessions map[*session]struct{}
	closing  bool
	figures  Figures
	idle     sync.Cond // signaled when a session ends
}

// Serve answers all who come until the listener is closed or Shutdown is called;
// then it returns nil. Where there are no file descriptors to be had, it waits.
func (s *Server) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		var network net.Error
		switch {
		case err == nil:
			go s.ServeConn(conn)
		case errors.Is(err, net.ErrClosed) || s.isClosing():
			return nil
		case errors.As(err, &network):
			time.Sleep(100 * time.Millisecond)
		default:
			return fmt.Errorf("accept LMTP client: %w", err)
		}
	}
}

// ServeConn answers one client, and closes the connection.
func (s *Server) ServeConn(conn Conn) {
	defer conn.Close()
	session := newSession(s, conn)
	if greeting, ok := s.enter(session); !ok {
		session.reply(greeting)
		session.flush()
		return
	}
	defer s.leave(session)
	session.run()
}

// enter takes a session in, or tells why not.
func (s *Server) enter(c *session) (Reply, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.MaxClients > 0 && len(s.sessions) >= s.MaxClients:
		return Reply{421, "4.3.2", "too many connections, try again later"}, false
	}
	if s.sessions == nil {
		s.sessions = make(map[*session]struct{})
		s.idle.L = &s.mu
	}
	s.sessions[c] = struct{}{}
	s.figures.Sessions++
	if s.closing {
		c.interrupt()
	}
	return Reply{}, true
}

func (s *Server) leave(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c)
	s.idle.Broadcast()
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// Clients is how many are being answered.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Figures is what a server has done since it was made.
type Figures struct {
	Sessions   int64
	Bytes      int64         // of the mails that got a reply
	Deliveries map[int]int64 // recipients' replies after a mail, by their code
	Refusals   map[int]int64 // other replies from 400 on, a greeting included
}

// Figures gives what the server has done so far.
func (s *Server) Figures() Figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.figures
	f.Deliveries, f.Refusals = maps.Clone(f.Deliveries), maps.Clone(f.Refusals)
	return f
}

// delivered counts the replies for a mail of so many bytes.
func (s *Server) delivered(bytes int, replies ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.figures.Deliveries == nil {
		s.figures.Deliveries = map[int]int64{}
	}
	s.figures.Bytes += int64(bytes)
	for _, r := range replies {
		s.figures.Deliveries[r.Code]++
	}
}

func (s *Server) refused(r Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.figures.Refusals == nil {
		s.figures.Refusals = map[int]int64{}
	}
	s.figures.Refusals[r.Code]++
}

var shuttingDown = Reply{421, "4.3.2", "shutting down, try again"}

// Shutdown tells every client 421 as soon as it has no mail to send, and returns
// when all are gone, or else when ctx ends, with its error. Who has just come, or is
// amid a transaction, has its mail taken before. The caller closes the listeners
// before, or leaves them to whoever comes next.
func (s *Server) Shutdown(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.idle.L != nil {
			s.idle.Broadcast()
		}
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for c := range s.sessions {
		c.interrupt()
	}
	for len(s.sessions) > 0 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for %d LMTP clients: %w", len(s.sessions), err)
		}
		s.idle.Wait()
	}
	return nil
}

// deliver gives a reply for each recipient, whatever Deliver does.
func (s *Server) deliver(m *Mail) (replies []Reply) {
	defer func() {
		if p := recover(); p != nil {
			replies = forAll(m, Reply{451, "4.3.0", fmt.Sprintf("internal error: %v", p)})
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), s.DeliverTimeout)
	defer cancel()
	replies = s.Deliver(ctx, m)
	if len(replies) != len(m.Recipients) {
		return forAll(m, Reply{451, "4.3.0", "internal error: wrong number of replies"})
	}
	return replies
}

func forAll(m *Mail, r Reply) []Reply {
	replies := make([]Reply, len(m.Recipients))
	for i := range replies {
		replies[i] = r
	}
	return replies
}
