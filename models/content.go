package models

import (
	"encoding/json"
	"fmt"
)

// contentPlace is what one message's kept content is sealed for.
func contentPlace(messageID string) string { return "message_contents.content:" + messageID }

func (d *DB) sealContent(messageID string, c *Content) ([]byte, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("models: content: %w", err)
	}
	return d.seal(plain, contentPlace(messageID))
}

func (d *DB) openContent(messageID string, sealed []byte) (*Content, error) {
	plain, err := d.open(sealed, contentPlace(messageID))
	if err != nil {
		return nil, err
	}
	var c Content
	if err := json.Unmarshal(plain, &c); err != nil {
		return nil, fmt.Errorf("models: content: %w", err)
	}
	return &c, nil
}
