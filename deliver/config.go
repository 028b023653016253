package deliver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// DefaultConfigPath is read when no other file is named; it need not exist.
const DefaultConfigPath = "/etc/mailrow/mailrow.toml"

// Config is what the configuration file, the environment and the flags say,
// the later over the earlier.
type Config struct {
	// Database is a PostgreSQL URL or key=value string; empty: the PG*
	// environment and PostgreSQL's defaults.
	Database string

	// Socket is that of a mailrow lmtp, which gets the mail instead while it is
	// there; "" for none.
	Socket string

	Timeout time.Duration // for one run, from start to exit
	MaxSize int64         // bytes of a mail; a larger one is refused with 5.3.4

	Account            string // store for this account, whatever the recipient
	Mailbox            string // store in this mailbox
	ExtensionMailbox   bool   // user+lists@domain goes to mailbox lists
	RejectUnknown      bool   // refuse recipients without route or account with 5.1.1
	RecipientDelimiter string // characters that begin an extension, as Postfix's recipient_delimiter
	Quiet              bool   // no output, for Exim's return_output
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{Timeout: 60 * time.Second, MaxSize: 64 << 20, RecipientDelimiter: "+"}
}

// file is the configuration file as written.
type file struct {
	Database           *string `toml:"database"`
	Socket             *string `toml:"socket"`
	Timeout            *string `toml:"timeout"`
	MaxSize            *any    `toml:"max_size"`
	Account            *string `toml:"account"`
	Mailbox            *string `toml:"mailbox"`
	ExtensionMailbox   *bool   `toml:"extension_mailbox"`
	Unknown            *string `toml:"unknown"`
	RecipientDelimiter *string `toml:"recipient_delimiter"`
	Quiet              *bool   `toml:"quiet"`
}

// ReadConfig reads the file over the defaults. An empty path means the default
// file, which may be absent; a file that is named must be there. The error
// names the file, and the key and line where it can.
func ReadConfig(path string) (Config, error) {
	c := DefaultConfig()
	text, err := os.ReadFile(pathOrDefault(path))
	if err != nil {
		if path == "" && errors.Is(err, fs.ErrNotExist) {
			return c, nil
		}
		return c, fmt.Errorf("read configuration: %w", err)
	}
	var f file
	decoder := toml.NewDecoder(strings.NewReader(string(text))).DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return c, fmt.Errorf("read configuration %s: %w", pathOrDefault(path), located(err))
	}
	if err := c.apply(f); err != nil {
		return c, fmt.Errorf("read configuration %s: %w", pathOrDefault(path), err)
	}
	return c, nil
}

func pathOrDefault(path string) string {
	if path == "" {
		return DefaultConfigPath
	}
	return path
}

// located puts line and key, which the TOML library keeps apart from the text,
// into one line.
func located(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		first := strict.Errors[0]
		row, _ := first.Position()
		return fmt.Errorf("line %d: unknown key %q", row, strings.Join(first.Key(), "."))
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		row, _ := decode.Position()
		// The text never quotes the value, which may be a password.
		if key := strings.Join(decode.Key(), "."); key != "" {
			return fmt.Errorf("line %d: key %q has a value of the wrong type", row, key)
		}
		return fmt.Errorf("line %d: not TOML: %s", row, decode.Error())
	}
	return err
}

func (c *Config) apply(f file) error {
	set(&c.Database, f.Database)
	set(&c.Socket, f.Socket)
	set(&c.Account, f.Account)
	set(&c.Mailbox, f.Mailbox)
	set(&c.ExtensionMailbox, f.ExtensionMailbox)
	set(&c.RecipientDelimiter, f.RecipientDelimiter)
	set(&c.Quiet, f.Quiet)
	if f.Timeout != nil {
		d, err := ParseTimeout(*f.Timeout)
		if err != nil {
			return fmt.Errorf("key %q: %w", "timeout", err)
		}
		c.Timeout = d
	}
	if f.MaxSize != nil {
		n, err := ParseSize(fmt.Sprint(*f.MaxSize))
		if err != nil {
			return fmt.Errorf("key %q: %w", "max_size", err)
		}
		c.MaxSize = n
	}
	if f.Unknown != nil {
		reject, err := ParseUnknown(*f.Unknown)
		if err != nil {
			return fmt.Errorf("key %q: %w", "unknown", err)
		}
		c.RejectUnknown = reject
	}
	return nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// ParseTimeout reads a duration such as 60s or 2m; it must be positive.
func ParseTimeout(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a duration such as 60s or 2m", s)
	}
	return d, nil
}

var units = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}

// maxMaxSize is what fits a bytea with room for the rest of its message.
const maxMaxSize = 1000 << 20

// ParseSize reads a number of bytes, with or without KiB, MiB or GiB; at most
// 1000 MiB, since PostgreSQL holds no value over 1 GiB.
func ParseSize(s string) (int64, error) {
	for _, unit := range units {
		digits, ok := strings.CutSuffix(s, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n <= 0 || n > maxMaxSize/unit.bytes {
			break
		}
		return n * unit.bytes, nil
	}
	return 0, fmt.Errorf("%q is not a size such as 64MiB, at most 1000MiB", s)
}

// ParseUnknown reads what to do with unknown recipients: create or reject.
func ParseUnknown(s string) (reject bool, err error) {
	switch s {
	case "create":
		return false, nil
	case "reject":
		return true, nil
	}
	return false, fmt.Errorf("%q is neither create nor reject", s)
}
