package push

import "encoding/json"

// MaxReceipts bounds what one vendor's report may make us do.
const MaxReceipts = 10_000

// maxReportValues is how many values a vendor's report may hold: Huawei sends 1000
// statuses of a dozen fields.
const maxReportValues = 1 << 15

// ReadReport reads a vendor's report into v. A report that is no JSON, is of another
// shape or holds more values than any vendor sends is ErrReceiptShape.
func ReadReport(body []byte, v any) error {
	if ManyValues(body, maxReportValues) || json.Unmarshal(body, v) != nil {
		return ErrReceiptShape
	}
	return nil
}

// ManyValues reports whether JSON holds more than limit values. Each costs a parser a
// hundred times its two bytes, and a few kilobytes of gzip can hold millions. It only
// looks at what stands between values, so that it costs no memory itself; of what is no
// JSON it may say either.
func ManyValues(body []byte, limit int) bool {
	if len(body) <= limit {
		return false
	}
	n, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			quoted = !quoted
		case '\\':
			if quoted {
				i++
			}
		case ',', '[', '{':
			if !quoted {
				n++
			}
		}
	}
	return n > limit
}
