package collection

import (
	"bufio"
	"errors"
)

func (s *stream) readMailbox(m member, kind Kind, body *bufio.Reader) error {
	return s.failed(m, errors.New("not yet: "+string(kind)))
}
