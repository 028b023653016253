package collection

import (
	"bufio"
	"compress/gzip"
	"io"
)

// gunzip reads the members of a gzip file one after the other. What follows the
// last of them and is none, such as the padding of a tape, does not cost what
// was before it: gzip(1) ignores it, too.
type gunzip struct {
	body *bufio.Reader
	gzip *gzip.Reader
}

func newGunzip(body *bufio.Reader) (*gunzip, error) {
	r, err := gzip.NewReader(body)
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	return &gunzip{body, r}, nil
}

func (g *gunzip) Read(p []byte) (int, error) {
	for {
		n, err := g.gzip.Read(p)
		if n > 0 || err != io.EOF {
			if err == io.EOF {
				err = nil
			}
			return n, err
		}
		head, err := g.body.Peek(3)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if sniff(head) != KindGzip {
			return 0, io.EOF
		}
		if err := g.gzip.Reset(g.body); err != nil {
			return 0, err
		}
		g.gzip.Multistream(false)
	}
}
