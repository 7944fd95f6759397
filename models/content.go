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
