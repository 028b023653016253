package maildir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailrow/internal/maildirname"
	"mailrow/poller/files"
)

func (f *folder) flags(n name) []string {
	return maildirname.Flags(n.letters(), &f.keywords)
}

// readKeywords reads what Dovecot's letters a to z mean in this folder. They mean
// something else in every other: a folder without the file has none.
func (f *folder) readKeywords() error {
	file, err := files.OpenRegular(filepath.Join(f.path, "dovecot-keywords"), os.O_RDONLY)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.keywords = [26]string{}
		return nil
	case errors.Is(err, files.ErrIrregular):
		return fmt.Errorf("%w: remove it: Dovecot keeps there what flags mean", err)
	case err != nil:
		return err
	}
	defer file.Close()
	f.keywords, err = parseKeywords(file)
	return err
}

// parseKeywords reads lines of a number and a name: "0 project-x".
func parseKeywords(r io.Reader) (keywords [26]string, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for lines.Scan() {
		number, keyword, _ := strings.Cut(lines.Text(), " ")
		i, err := strconv.ParseUint(number, 10, 8)
		if err != nil || i >= uint64(len(keywords)) || !isKeyword(keyword) {
			continue
		}
		keywords[i] = keyword
	}
	return keywords, lines.Err()
}

func isKeyword(s string) bool {
	return s != "" && utf8.ValidString(s) && s[0] != '\\' &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}
