package lmtp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// transaction is a mail on its way in.
type transaction struct {
	Mail
	server   *Server
	declared int64 // SIZE; 0 where it was not given
	binary   bool  // BODY=BINARYMIME: only BDAT carries it (RFC 3030 3)
	begun    bool  // DATA or BDAT was given
	taken    int64 // of the memory for mails in hand
	refused  *Reply
}

// release gives the memory back.
func (t *transaction) release() {
	t.server.Memory.Give(t.taken)
	t.taken, t.Raw = 0, nil
}

// firstRoom is what a mail of unknown size gets to begin with.
const firstRoom = 64 << 10

var noRoom = Reply{452, "4.3.1", "too many mails in hand, try again"}

// begin makes room for a mail; false says that there is none.
func (t *transaction) begin() bool {
	room := max(t.declared+t.declared/16, firstRoom) // SIZE is an estimate
	if !t.server.Memory.Take(room) {
		return false
	}
	t.begun, t.taken, t.Raw = true, room, make([]byte, 0, room)
	return true
}

// add keeps a piece of the mail. Once it has to be refused, pieces are only read.
func (t *transaction) add(piece []byte) {
	if t.refused != nil {
		return
	}
	size := int64(len(t.Raw) + len(piece))
	if size > t.server.MaxSize {
		t.refuse(t.server.tooLarge())
		return
	}
	if size > t.taken {
		// The old room is still there while the new one is filled.
		more := max(size, min(2*t.taken, t.server.MaxSize))
		if !t.server.Memory.Take(more) {
			t.refuse(noRoom)
			return
		}
		t.Raw = slices.Grow(t.Raw, int(more)-len(t.Raw))
		t.server.Memory.Give(t.taken)
		t.taken = more
	}
	t.Raw = append(t.Raw, piece...)
}

func (t *transaction) refuse(r Reply) {
	t.release()
	t.refused = &r
}

// data answers DATA, and then for each recipient. It says whether the session is over:
// what still comes of a mail that was not read to its end is no command.
func (c *session) data(argument string) (quit bool) {
	switch t := c.mail; {
	case argument != "":
		c.refuse(Reply{501, "5.5.4", "DATA stands alone"})
		return false
	case t == nil:
		c.refuse(Reply{503, "5.5.1", "MAIL first"})
		return false
	case t.begun || t.binary:
		c.refuse(Reply{503, "5.5.1", "BDAT is to carry this mail"})
		return false
	case len(t.Recipients) == 0: // RFC 2033 4.2
		c.refuse(Reply{503, "5.5.1", "no recipient was accepted"})
		return false
	case !t.begin():
		c.reply(noRoom)
		c.reset()
		return false
	}
	c.reply(Reply{354, "", "end with a dot in a line of its own"})
	if c.flush() != nil {
		return true
	}
	if c.read(c.mail) != nil {
		c.giveUp()
		return true
	}
	c.finish()
	return false
}

// read takes the mail up to CRLF "." CRLF, in pieces: a line may be longer than any
// buffer. Only CRLF ends a line: what follows a lone LF or CR is amid a line, also
// when it looks like the end (RFC 5321 4.1.1.4).
func (c *session) read(t *transaction) error {
	atStart, last := true, byte(0)
	for {
		c.await(c.server.DataTimeout, false)
		piece, err := c.in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		if atStart && string(piece) == ".\r\n" {
			return nil
		}
		if atStart && piece[0] == '.' {
			piece, last = piece[1:], '.'
		}
		t.add(piece)
		if n := len(piece); n >= 2 {
			last = piece[n-2]
			atStart = err == nil && last == '\r'
			last = piece[n-1]
		} else if n == 1 {
			atStart = err == nil && last == '\r'
			last = piece[0]
		}
	}
}

// bdat answers BDAT: a piece of exactly so many bytes (RFC 3030 2). It reads them
// whatever it thinks of them, or else they would be taken for commands.
func (c *session) bdat(argument string) (quit bool) {
	size, mark, _ := strings.Cut(argument, " ")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || (mark != "" && !strings.EqualFold(mark, "LAST")) {
		// Where its bytes end, nobody knows.
		c.reply(Reply{421, "4.5.4", "write BDAT size, or BDAT size LAST"})
		return true
	}
	t := c.mail
	var refused *Reply
	switch {
	case t == nil:
		refused = &Reply{503, "5.5.1", "MAIL first"}
	case len(t.Recipients) == 0:
		refused = &Reply{503, "5.5.1", "no recipient was accepted"}
	case !t.begun && !t.begin():
		refused = &noRoom
	}
	if c.chunk(n, refused == nil) != nil {
		c.reset()
		return true
	}
	switch {
	case refused != nil:
		c.refuse(*refused)
		c.reset()
	case mark != "":
		c.finish()
	case t.refused != nil:
		c.reply(*t.refused)
	default:
		c.reply(Reply{250, "2.0.0", "piece taken"})
	}
	return false
}

// chunk reads n bytes, and keeps them where that is asked.
func (c *session) chunk(n int64, keep bool) error {
	for n > 0 {
		c.await(c.server.DataTimeout, false)
		piece, err := c.in.Peek(int(min(n, int64(max(c.in.Buffered(), 1)))))
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if keep {
			c.mail.add(piece)
		}
		c.in.Discard(len(piece)) // they are there
		n -= int64(len(piece))
	}
	return nil
}

// finish delivers the mail and replies for each recipient in the order of the RCPT
// commands (RFC 2033 4.2).
func (c *session) finish() {
	t := c.mail
	defer c.reset()
	var replies []Reply
	if t.refused != nil {
		replies = forAll(&t.Mail, *t.refused)
	} else {
		replies = c.server.deliver(&t.Mail)
	}
	c.server.delivered(len(t.Raw), replies...)
	for _, r := range replies {
		c.queue(r)
	}
	c.mails++
}

// takeOver is the command with which a process of ours hands a mail over. It is not
// for MTAs: what it carries of the envelope is believed.
const takeOver = "XMAILROW"

const maxHead = 1 << 20 // bytes

func (c *session) takeOver(argument string) (quit bool) {
	var head, mail int64
	if n, err := fmt.Sscanf(argument, "%d %d", &head, &mail); n != 2 || err != nil || head < 0 || head > maxHead || mail < 0 {
		c.reply(Reply{421, "4.5.4", "write XMAILROW size size"})
		return true
	}
	if c.server.TakeOver == nil || c.mail != nil {
		c.reply(Reply{421, "4.5.1", "not now"})
		return true
	}
	t := &transaction{server: c.server, declared: head + mail}
	if !t.begin() {
		c.reply(noRoom)
		return true
	}
	c.mail = t
	defer c.reset()
	if c.chunk(head+mail, true) != nil {
		return true
	}
	reply := t.refused
	if reply == nil {
		stored := c.server.takeOver(t.Raw[:head], t.Raw[head:])
		reply = &stored
		c.mails++
	}
	c.server.delivered(max(len(t.Raw)-int(head), 0), *reply)
	c.queue(*reply)
	return false
}

func (s *Server) takeOver(head, mail []byte) (reply Reply) {
	defer func() {
		if p := recover(); p != nil {
			reply = Reply{451, "4.3.0", fmt.Sprintf("internal error: %v", p)}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), s.DeliverTimeout)
	defer cancel()
	return s.TakeOver(ctx, head, mail)
}
