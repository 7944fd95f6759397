package vivo

import (
	"slices"

	"hongyan/push"
)

// class is how vivo counts a message.
type class struct {
	classification int
	category       string
}

// classOf reads the two fields. A system message without a category is an IM message.
// It does not fit when the category is one of the other classification, which vivo
// refuses.
func classOf(classification, category string) (c class, fits bool) {
	c = class{classification: 1, category: category}
	fitting := systemCategories()
	if classification == classOperations {
		c.classification, fitting = 0, operationCategories()
	}
	if category == "" {
		if c.classification == 1 {
			c.category = fitting[0]
		}
		return c, true
	}
	return c, slices.Contains(fitting, category)
}

// classFor is the message's own class, else the credential's. Where the message says one
// of the two fields alone, the other follows from it when the credential's would not fit.
func (s *Sender) classFor(m *push.Message) (class, *push.Result) {
	own, fault := m.Class(push.Vivo, fields)
	if fault != nil || len(own) == 0 {
		return s.class, fault
	}
	classification, category := own[fieldClassification], own[fieldCategory]
	switch {
	case classification == "" && slices.Contains(operationCategories(), category):
		classification = classOperations
	case classification == "":
		classification = classSystem
	case category == "":
		if c, fits := classOf(classification, s.class.category); fits {
			return c, nil
		}
	}
	c, fits := classOf(classification, category)
	if !fits {
		return c, push.BadClass(fieldCategory)
	}
	return c, nil
}
