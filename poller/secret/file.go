package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"mailrow/poller/sasl"
)

// maxSecret is much more than any token has.
const maxSecret = 64 << 10

func readFile(path string) (sasl.Secret, error) {
	text, err := readPrivate(path)
	if err != nil {
		return sasl.Secret{}, err
	}
	return line(text, path)
}

// readPrivate reads a file that only its owner may change, and no others may read.
// Its group may read it: root can so give it to the user that mailrow runs as.
func readPrivate(path string) ([]byte, error) {
	// A FIFO would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: the user that mailrow runs as must be its owner or in its group: chgrp and chmod 640 let a group read it", err)
	case err != nil:
		return nil, err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := stat.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case mode.Perm()&0o027 != 0:
		return nil, fmt.Errorf("%s may be read or changed by others (mode %04o): chmod 600 %s, or 640 for its group", path, mode.Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSecret {
		return nil, fmt.Errorf("%s is too large for a secret", path)
	}
	return text, nil
}
