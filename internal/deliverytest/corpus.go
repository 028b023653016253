package deliverytest

import (
	"os/exec"
	"testing"

	"mailrow/internal/corpus"
	"mailrow/internal/needs"
)

// Corpus is every n-th of the collected real mails, in their order, and every
// m-th of the odd ones. The collection is not part of the project: without it
// the test is skipped.
func Corpus(t testing.TB, n, m int) (mails []corpus.Mail) {
	t.Helper()
	dir, err := corpus.Find()
	if err != nil {
		t.Skipf("no mail to test with: %v; or set MAILROW_CORPUS", err)
	}
	if _, err := exec.LookPath("zstd"); err != nil {
		needs.Missing(t, "zstd", needs.Install)
	}
	real, err := corpus.Real(dir)
	if err != nil {
		t.Fatal(err)
	}
	odd, err := corpus.Odd(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := n - 1; i < len(real); i += n {
		mails = append(mails, real[i])
	}
	for i := m - 1; i < len(odd); i += m {
		mails = append(mails, odd[i])
	}
	return mails
}
