package deliver

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"mailrow/store"
)

// Cause is why a run ended as it did.
type Cause int

// The causes, in the order of the table.
const (
	CauseStored Cause = iota
	CauseUnknownRecipient
	CauseTooLarge
	CauseSomeRefused
	CauseUsage
	CauseConfig
	CauseNoRecipient
	CauseInput
	CauseBatch
	CauseMemory
	CauseDeadline
	CauseSignal
	CausePanic
	CauseAway
	CauseLost
	CauseNoSlot
	CauseStarting
	CauseReadOnly
	CauseRights
	CauseSchema
	CauseDisk
	CauseTimeout
	CauseContest
	CauseDatabase
)

// Status is one row of the table: what the MTA is told. Both MTAs take only 75
// for "try again" without further configuration; every other status but 0
// bounces the mail at once. So each status but 0 and 75 here is a rejection
// that the operator asked for.
type Status struct {
	Cause    Cause
	Exit     int    // exit status, after sysexits.h
	Enhanced string // status code of RFC 3463, which Postfix reads from the output
	Text     string // what the output says
	Meaning  string // for the manual
}

// Exit statuses, after sysexits.h.
const (
	exitOK          = 0
	exitNoUser      = 67
	exitUnavailable = 69
	exitTempFail    = 75
)

var table = [...]Status{
	{CauseStored, exitOK, "2.0.0", "stored", "committed, or found to be stored already"},
	{CauseUnknownRecipient, exitNoUser, "5.1.1", "unknown recipient", "no recipient has a route or an account, and unknown is reject"},
	{CauseTooLarge, exitUnavailable, "5.3.4", "message too large", "the mail is larger than max_size"},
	{CauseSomeRefused, exitTempFail, "4.1.1", "some recipients unknown", "stored for the known recipients; one status cannot refuse only the others"},
	{CauseUsage, exitTempFail, "4.3.5", "wrong argument", "an unknown flag, or a wrong value of one"},
	{CauseConfig, exitTempFail, "4.3.5", "configuration error", "the configuration cannot be read or understood, or names a database that is not there"},
	{CauseNoRecipient, exitTempFail, "4.3.5", "no recipient", "neither argument nor environment nor the mail says for whom it is"},
	{CauseInput, exitTempFail, "4.3.0", "cannot read the mail", "reading standard input failed, or the MTA died while writing"},
	{CauseBatch, exitTempFail, "4.5.2", "not a BSMTP batch", "a line that is no SMTP command, or one out of order"},
	{CauseMemory, exitTempFail, "4.3.1", "out of memory", "the mail does not fit the memory that the process may have"},
	{CauseDeadline, exitTempFail, "4.3.0", "deadline passed", "not done within the timeout"},
	{CauseSignal, exitTempFail, "4.3.0", "interrupted", "stopped by a signal"},
	{CausePanic, exitTempFail, "4.3.0", "internal error", "a defect of this program, or it was killed"},
	{CauseAway, exitTempFail, "4.3.0", "cannot reach the database", "no server answers"},
	{CauseLost, exitTempFail, "4.3.0", "lost the database", "the connection broke; what was committed is found at the next try"},
	{CauseNoSlot, exitTempFail, "4.3.2", "database has no free connection", "too many connections, after several tries"},
	{CauseStarting, exitTempFail, "4.3.2", "database not ready", "the server is starting up or shutting down"},
	{CauseReadOnly, exitTempFail, "4.3.2", "database is read-only", "a standby server, or read-only by configuration"},
	{CauseRights, exitTempFail, "4.3.5", "database denied access, see mailrow setup postgres", "authentication failed, or the role may not deliver"},
	{CauseSchema, exitTempFail, "4.3.5", "database schema does not fit, run mailrow migrate", "not migrated, or migrated by another version"},
	{CauseDisk, exitTempFail, "4.3.1", "database disk full", "the server has no room"},
	{CauseTimeout, exitTempFail, "4.3.0", "database timeout", "a statement or lock timeout of the server"},
	{CauseContest, exitTempFail, "4.3.0", "database conflict", "deadlock or serialization failure"},
	{CauseDatabase, exitTempFail, "4.3.0", "database error", "any other error of the server"},
}

// Table gives every cause with what the MTA is told, for the manual.
func Table() []Status { return append([]Status(nil), table[:]...) }

// Outcome is how a run ended.
type Outcome struct {
	Cause  Cause
	Detail string // more about it; "" where the table says it all
}

// Exit is the status to exit with.
func (o Outcome) Exit() int { return table[o.Cause].Exit }

// Code is the reply of SMTP and LMTP that goes with the enhanced status code
// (RFC 5321 4.2.3, RFC 3463): 5yz only for a rejection that the operator asked for.
func (s Status) Code() int {
	switch {
	case s.Exit == exitOK:
		return 250
	case s.Exit == exitTempFail && s.Enhanced == "4.3.1":
		return 452
	case s.Exit == exitTempFail:
		return 451
	case s.Cause == CauseTooLarge:
		return 552
	}
	return 550
}

// Status is the row of the table.
func (o Outcome) Status() Status { return table[o.Cause] }

const maxLine = 400 // bytes; Postfix reads 4 KB and shows less

// Line is the one line that tells the MTA, beginning with the status code and
// free of control characters; "" when the mail was stored.
func (o Outcome) Line() string {
	row := table[o.Cause]
	if row.Exit == exitOK {
		return ""
	}
	line := row.Enhanced + " mailrow: " + row.Text
	if o.Detail != "" {
		line += ": " + o.Detail
	}
	line = strings.Join(strings.FieldsFunc(line, func(r rune) bool { return unicode.IsControl(r) || r == ' ' }), " ")
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine-3], "") + "..."
	}
	return line
}

// failed makes an outcome of a cause and an error.
func failed(cause Cause, err error) Outcome { return Outcome{Cause: cause, Detail: err.Error()} }

var causeOfTrouble = map[store.Trouble]Cause{
	store.TroubleUnknown:  CauseDatabase,
	store.TroubleConfig:   CauseConfig,
	store.TroubleAway:     CauseAway,
	store.TroubleLost:     CauseLost,
	store.TroubleNoSlot:   CauseNoSlot,
	store.TroubleStarting: CauseStarting,
	store.TroubleReadOnly: CauseReadOnly,
	store.TroubleRights:   CauseRights,
	store.TroubleSchema:   CauseSchema,
	store.TroubleDisk:     CauseDisk,
	store.TroubleMemory:   CauseMemory,
	store.TroubleTimeout:  CauseTimeout,
	store.TroubleContest:  CauseContest,
}

// OutcomeOf makes an outcome of an error of store.
func OutcomeOf(err error) Outcome {
	return failed(causeOfTrouble[store.TroubleOf(err)], err)
}

// UsageError is an argument that cannot be understood.
func UsageError(err error) Outcome { return failed(CauseUsage, err) }

// ConfigError is a configuration that cannot be used.
func ConfigError(err error) Outcome { return failed(CauseConfig, err) }

// PanicError is a defect met at run time.
func PanicError(value any) Outcome {
	return Outcome{Cause: CausePanic, Detail: fmt.Sprint(value)}
}

// errNoMemory says that the kernel refused the room for a mail.
var errNoMemory = errors.New("no memory for the mail")
