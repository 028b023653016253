package message

import "slices"

// Defect names one kind of deviation met in a mail. The words are stable:
// they are stored beside the mail and searched for.
type Defect string

// What can be wrong with a header as a whole.
const (
	DefectEmpty           Defect = "empty"                           // not a single byte
	DefectNoHeader        Defect = "no-header"                       // the mail begins with its body
	DefectNoBlankLine     Defect = "header-ends-without-blank-line"  // the body follows the last field directly
	DefectMboxFromLine    Defect = "mbox-from-line"                  // first line is mbox's "From " or ">From "
	DefectLeadingBlank    Defect = "header-begins-with-blank-line"   // empty lines before the first field
	DefectLeadingFolding  Defect = "header-begins-with-folding"      // first line is a continuation of nothing
	DefectHeaderCRs       Defect = "header-of-cr-lines"              // its lines end in CR, those of the body do not
	DefectNoColon         Defect = "header-line-without-colon"       // a line that is no field amid fields
	DefectTooManyFields   Defect = "too-many-header-fields"          // more than MaxFields
	DefectHeaderTooLarge  Defect = "header-too-large"                // fields beyond MaxHeader
	DefectName8bit        Defect = "header-name-not-ascii"           // a field name with 8-bit or control characters
	DefectHeader8bit      Defect = "header-8bit"                     // 8-bit bytes that are not UTF-8 (RFC 6532 allows UTF-8)
	DefectHeaderNUL       Defect = "header-nul"                      // a NUL byte in a field
	DefectUnknownCharset  Defect = "encoded-word-of-unknown-charset" // kept as written (RFC 2047)
	DefectCharsetMismatch Defect = "encoded-word-not-in-its-charset" // bytes that its charset does not have
)

// What can be wrong with a field that Message reads.
const (
	DefectDuplicateFrom      Defect = "duplicate-from"       // all of them are read
	DefectDuplicateSubject   Defect = "duplicate-subject"    // the first one is kept
	DefectDuplicateDate      Defect = "duplicate-date"       // the first one that is understood is kept
	DefectDuplicateMessageID Defect = "duplicate-message-id" // the first one that is not empty is kept
	DefectAddress            Defect = "address-malformed"    // an address that had to be guessed or repaired
	DefectNoAddress          Defect = "address-missing"      // a name without an address, or "<>"
	DefectTooManyAddresses   Defect = "too-many-addresses"   // more than MaxAddresses in one field
	DefectTooManyIDs         Defect = "too-many-message-ids" // more than MaxIDs in one field
	DefectDateNotUnderstood  Defect = "date-not-understood"  // Date is nil
	DefectDateOutOfRange     Defect = "date-out-of-range"    // a year outside 1..9999: Date is nil
	DefectDateWithoutTime    Defect = "date-without-time"    // read as midnight
	DefectDateWithoutZone    Defect = "date-without-zone"    // read as UTC
	DefectDateZoneUnknown    Defect = "date-zone-unknown"    // a zone name of unknown meaning: read as UTC
	DefectDateZoneImpossible Defect = "date-zone-impossible" // a day or more from UTC: read as UTC
)

// What can be wrong with the structure of the body.
const (
	DefectBoundaryMissing      Defect = "boundary-missing"            // a multipart does not tell its boundary: it was guessed, or all is text
	DefectBoundaryWrong        Defect = "boundary-wrong"              // the boundary of a multipart does not appear, and another plainly does
	DefectBoundaryUnused       Defect = "boundary-never-appears"      // a multipart without a single part: all of it is text
	DefectBoundaryDoubled      Defect = "boundary-doubled"            // twice in a row: it counts once
	DefectUnterminated         Defect = "multipart-unterminated"      // no close delimiter
	DefectPartAfterClose       Defect = "part-after-close-delimiter"  // it is kept
	DefectPartNoBlankLine      Defect = "part-without-blank-line"     // the body of a part follows its header directly
	DefectPartNoColon          Defect = "part-line-without-colon"     // a line that is no field amid fields of a part
	DefectPartHeaderTooLarge   Defect = "part-header-too-large"       // fields beyond MaxPartHeader
	DefectTooDeep              Defect = "nested-too-deep"             // parts at MaxDepth are not divided
	DefectTooManyParts         Defect = "too-many-parts"              // more than MaxParts
	DefectMultipartEncoded     Defect = "multipart-encoded"           // its transfer encoding is ignored (RFC 2045 6.4)
	DefectMessageEncoded       Defect = "message-encoded"             // an embedded message in base64 or quoted-printable
	DefectContentType          Defect = "content-type-not-understood" // read as text/plain (RFC 2045 5.2), or "html" as text/html
	DefectDuplicateContentType Defect = "duplicate-content-type"      // the first one that is understood is kept
	DefectParameter            Defect = "parameter-malformed"         // a parameter of a part that had to be guessed or skipped
	DefectEncodingUnknown      Defect = "transfer-encoding-unknown"   // the content is left as it is
	DefectQuotedPrintable      Defect = "quoted-printable-malformed"  // an "=" that begins no escape
	DefectBase64               Defect = "base64-malformed"            // other characters in it, cut off, or something behind it
	DefectUUNoEnd              Defect = "uuencode-without-end"        // what there is of the file is unpacked
	DefectTNEF                 Defect = "tnef-not-understood"         // an application/ms-tnef that is none
	DefectUnpackedTooLarge     Defect = "unpacked-too-large"          // files that unpack to many times the mail stay packed
	DefectTextTruncated        Defect = "text-truncated"              // more than MaxText
	DefectTextNUL              Defect = "text-nul"                    // a NUL in the text
	DefectTextCharset          Defect = "text-not-in-its-charset"     // bytes that its charset does not have
	DefectTextUnknownCharset   Defect = "text-of-unknown-charset"     // read as UTF-8 or windows-1252
)

// defect records d once. There are a few dozen kinds, so looking through
// them takes constant time.
func (m *Message) defect(d Defect) {
	if !slices.Contains(m.Defects, d) {
		m.Defects = append(m.Defects, d)
	}
}
