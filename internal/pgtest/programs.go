package pgtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

// programs are the server's executables and the user they run as.
type programs struct {
	bin  string
	env  []string
	user *syscall.Credential // nil: the test's own
	name string              // of that user; "" with user nil
	// version is the major version: 15.
	version int
}

var findPrograms = sync.OnceValues(func() (*programs, error) {
	bin, err := findBin()
	if err != nil {
		return nil, err
	}
	p := &programs{bin: bin, env: environment(bin)}
	if p.version, err = p.readVersion(); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 {
		if err := p.dropRoot(); err != nil {
			return nil, err
		}
	}
	return p, nil
})

// findBin looks at MAILROW_PG_BIN, at Debian's folders (newest version first)
// and at the PATH.
func findBin() (string, error) {
	if bin := os.Getenv("MAILROW_PG_BIN"); bin != "" {
		return bin, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int {
			return cmp.Compare(majorOf(a), majorOf(b))
		})
		return filepath.Dir(newest), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("no initdb in /usr/lib/postgresql/*/bin or PATH")
	}
	// A link does: the server finds its other files from the real place.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("find initdb: %w", err)
	}
	return filepath.Dir(path), nil
}

func majorOf(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

// environment is small on purpose: PG* variables of the developer must not
// reach the server. Relocated builds find their libraries beside bin.
func environment(bin string) []string {
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	lib := filepath.Join(filepath.Dir(bin), "lib")
	if found, _ := filepath.Glob(filepath.Join(lib, "libpq.so*")); len(found) > 0 {
		env = append(env, "LD_LIBRARY_PATH="+lib)
	}
	return env
}

var versionNumber = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func (p *programs) readVersion() (int, error) {
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), "--version")
	cmd.Env = p.env
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("ask %s for its version: %w", cmd.Path, err)
	}
	m := versionNumber.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("unknown version: %s", out)
	}
	return strconv.Atoi(string(m[1]))
}

// dropRoot chooses an unprivileged user: PostgreSQL refuses root.
func (p *programs) dropRoot() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return fmt.Errorf("find a user for PostgreSQL: %w", err)
		}
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	p.name = u.Username
	p.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

// command prepares a program of this installation, run as its user.
func (p *programs) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = "/"
	cmd.Env = p.env
	if p.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	}
	return cmd
}

// run runs a program to its end; its output is in the error.
func (p *programs) run(name string, args ...string) error {
	out, err := p.command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// give makes the server's user the owner of path.
func (p *programs) give(path string) error {
	if p.user == nil {
		return nil
	}
	return os.Chown(path, int(p.user.Uid), int(p.user.Gid))
}
