package store

import "testing"

func TestHasPassword(t *testing.T) {
	for dsn, want := range map[string]bool{
		"":                                     false,
		"host=/run user=mailrow":               false,
		"host=h password=x":                    true,
		"host=h PASSWORD = 'x y'":              true,
		"host=h passfile=/etc/pw":              false,
		"sslpassword=x":                        true,
		"postgres:///mail?host=/run":           false,
		"postgres://u@h/db":                    false,
		"postgres://u:x@h/db":                  true,
		"postgres://u:x y@h:bad port/db":       true,
		"postgres://h/db?user=u&password=x":    true,
		"postgres://u@[::1]:5432/db":           false,
		"postgres://u@h:5432,other:5433/db":    false,
		"postgres://u:p@ss@h:5432,h2:5433/db":  true,
		"postgres:///mail?host=/run&user=a@b":  false,
		"postgres:///mail?host=/run/a:b&user=": false,
	} {
		if got := HasPassword(dsn); got != want {
			t.Errorf("%q: %v", dsn, got)
		}
	}
}
