package message

import (
	"testing"
	"time"
)

func TestDate(t *testing.T) {
	for _, test := range []struct {
		in, want string // RFC 3339, "" for nil
		defect   Defect
	}{
		{"Mon, 02 Jan 2006 15:04:05 -0700", "2006-01-02T15:04:05-07:00", ""},
		{"2 Jan 2006 15:04 +0000", "2006-01-02T15:04:00Z", ""},
		{"Mon, 2 Jan 2006 15:04:05 +0200 (CEST)", "2006-01-02T15:04:05+02:00", ""},
		{"Mon (day), 2 (of) Jan 2006 15 (h) :04:05 +0200", "2006-01-02T15:04:05+02:00", ""},
		{"Fri, 2 Jan 2006 15:04:05 GMT", "2006-01-02T15:04:05Z", ""},
		{"MON,2JAN2006 15:04:05 gmt", "2006-01-02T15:04:05Z", ""},
		{"Mon, 2 January 2006 15:04:05 UT", "2006-01-02T15:04:05Z", ""},
		{"Mon, 2 Jan 2006 15:04:05 EST", "2006-01-02T15:04:05-05:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 pdt", "2006-01-02T15:04:05-07:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 MET DST", "2006-01-02T15:04:05+02:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 Z", "2006-01-02T15:04:05Z", ""},
		{"Mon, 2 Jan 2006 15:04:05 K", "2006-01-02T15:04:05Z", DefectDateZoneUnknown},
		{"Mon, 2 Jan 2006 15:04:05 XYZT", "2006-01-02T15:04:05Z", DefectDateZoneUnknown},
		{"Mon, 2 Jan 2006 15:04:05 (CEST)", "2006-01-02T15:04:05+02:00", ""},
		{"Mon, 2 Jan 2006 15:04:05", "2006-01-02T15:04:05Z", DefectDateWithoutZone},
		{"Mon, 2 Jan 2006 15:04:05 0530", "2006-01-02T15:04:05Z", DefectDateWithoutZone},
		{"Mon, 2 Jan 2006 15:04:05 0000", "2006-01-02T15:04:05Z", ""},
		{"Mon, 2 Jan 2006", "2006-01-02T00:00:00Z", DefectDateWithoutTime},
		{"Mon, 2 Jan 06 15:04:05 GMT", "2006-01-02T15:04:05Z", ""},
		{"Mon, 2 Jan 95 15:04:05 GMT", "1995-01-02T15:04:05Z", ""},
		{"Mon, 2 Jan 106 15:04:05 GMT", "2006-01-02T15:04:05Z", ""},
		{"Mon, 2 Jan 2006 15:04:60 GMT", "2006-01-02T15:05:00Z", ""},
		{"Mon, 2 Jan 2006 24:00:00 GMT", "2006-01-03T00:00:00Z", ""},
		{"Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z", DefectDateWithoutZone},
		{"Mon Jan  2 15:04:05 EST 2006", "2006-01-02T15:04:05-05:00", ""},
		{"Mon Jan  2 15:04:05 2006 +0100", "2006-01-02T15:04:05+01:00", ""},
		{"Mon Jan  2 15:04:05 +0100 2006", "2006-01-02T15:04:05+01:00", ""},
		{"Monday, 02-Jan-06 15:04:05 GMT", "2006-01-02T15:04:05Z", ""},
		{"Mon, 02-Jan-2006 15:04:05 +0100", "2006-01-02T15:04:05+01:00", ""},
		{"January 2nd, 2006 at 3:04:05 PM -0500", "2006-01-02T15:04:05-05:00", ""},
		{"27 Jun 01 12:36:25 AM", "2001-06-27T00:36:25Z", DefectDateWithoutZone},
		{"2006-01-02T15:04:05Z", "2006-01-02T15:04:05Z", ""},
		{"2006-01-02T15:04:05.999+02:00", "2006-01-02T15:04:05+02:00", ""},
		{"2006-01-02 15:04:05 -0330", "2006-01-02T15:04:05-03:30", ""},
		{"20060102T150405Z", "2006-01-02T15:04:05Z", ""},
		{"13/01/2006 15:04:05 +0100", "2006-01-13T15:04:05+01:00", ""},
		{"1/13/2006 15:04:05 +0100", "2006-01-13T15:04:05+01:00", ""},
		{"2006/01/02 15:04:05 +0100", "2006-01-02T15:04:05+01:00", ""},
		{"01/02/2006 15:04:05 +0100", "", DefectDateNotUnderstood},
		{"02.01.2006 15:04:05 +0100", "2006-01-02T15:04:05+01:00", ""},
		{"Mon, 2 Jan 2006 15.04.05 +0100", "2006-01-02T15:04:05+01:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 GMT+0200", "2006-01-02T15:04:05+02:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 +02:00", "2006-01-02T15:04:05+02:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 -7", "2006-01-02T15:04:05-07:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 -0000", "2006-01-02T15:04:05Z", ""},
		{"Mon, 2 Jan 2006 15:04:05 +2500", "2006-01-02T15:04:05Z", DefectDateZoneImpossible},
		{"Mon, 2 Jan 2006 15:04:05 +0060", "2006-01-02T15:04:05Z", DefectDateZoneImpossible},
		{"Mon, 2 Jan 2006 15:04:05 +12345", "2006-01-02T15:04:05Z", DefectDateZoneImpossible},
		{"Mon, 2 Jan 2006 15:04:05 -0400 AWL version=2.40", "2006-01-02T15:04:05-04:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 -0400 x-3 16:00", "2006-01-02T15:04:05-04:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 H0500", "2006-01-02T15:04:05Z", DefectDateZoneUnknown},
		{"Tue, 29 Feb 2000 00:00:00 GMT", "2000-02-29T00:00:00Z", ""},
		{"Thu, 29 Feb 2001 00:00:00 GMT", "", DefectDateNotUnderstood},
		{"Mon, 2 Jan 2006 25:04:05 GMT", "", DefectDateNotUnderstood},
		{"Mon, 2 Jan 12006 15:04:05 GMT", "", DefectDateOutOfRange},
		{"Fri, 31 Dec 9999 23:00:00 -0200", "", DefectDateOutOfRange},
		{"Mon, 1 Jan 0001 00:00:00 +0100", "", DefectDateOutOfRange},
		{"20 Jun 82 1010 EDT", "1982-06-20T10:10:00-04:00", ""},
		{"Sunday, 20 June 1982 0930-PDT", "1982-06-20T09:30:00-07:00", ""},
		{"20 Jun 82 2460 EDT", "", DefectDateNotUnderstood},
		{"2 Jan 06 2006 15:04:05 GMT", "", DefectDateNotUnderstood},
		{"2 Jan 06 2006", "", DefectDateNotUnderstood},
		{"Mon, 2 Jan 2006 15 : 04 : 05 GMT", "2006-01-02T15:04:05Z", ""},
		{"Mon, 2 Jan 2006 15: 04 GMT", "2006-01-02T15:04:00Z", ""},
		{"Mon, 2 Jan 2006 15:04:05 + 0100", "2006-01-02T15:04:05+01:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 - 0500", "2006-01-02T15:04:05-05:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 (GMT+01:00)", "2006-01-02T15:04:05+01:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 (UTC -5)", "2006-01-02T15:04:05-05:00", ""},
		{"Mon, 2 Jan 2006 15:04:05 (by EST)", "2006-01-02T15:04:05Z", DefectDateWithoutZone},
		{"Mon, 3 Jul 2006 15:04:05 EST5EDT", "2006-07-03T15:04:05Z", DefectDateZoneUnknown},
		{"Mon, 2 Jan 19106 15:04:05 GMT", "2006-01-02T15:04:05Z", ""},
		{"20060102150405Z", "2006-01-02T15:04:05Z", ""},
		{"20060102150405", "2006-01-02T15:04:05Z", DefectDateWithoutZone},
		{"20061302150405Z", "", DefectDateNotUnderstood},
		{"Mon, 2 Jan 2006 15:04:05 AM", "", DefectDateNotUnderstood},
		{"Mon, 2 Jan 2006 15:04:05 PM GMT", "2006-01-02T15:04:05Z", ""},
		{"Mon, 2 JAN 2006 24:00 GMT", "2006-01-03T00:00:00Z", ""},
		{"Mon, 2 Jan 2006 24:00:01 GMT", "", DefectDateNotUnderstood},
		{"", "", DefectDateNotUnderstood},
		{"yesterday", "", DefectDateNotUnderstood},
		{"99999999999999999999", "", DefectDateNotUnderstood},
	} {
		m := Parse([]byte("Date: " + test.in + "\n\n"))
		got := ""
		if m.Date != nil {
			got = m.Date.Truncate(time.Second).Format(time.RFC3339)
		}
		var defect Defect
		if len(m.Defects) > 0 {
			defect = m.Defects[0]
		}
		if got != test.want || defect != test.defect {
			t.Errorf("%q: got %q %s, want %q %s", test.in, got, defect, test.want, test.defect)
		}
	}
}
