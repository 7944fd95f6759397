package handlers

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"hongyan/models"
)

// tinodeSubscription asks that devices get the messages of channels, or no more: one
// device and many channels, or many devices and one channel.
type tinodeSubscription struct {
	Channel  looseText   `json:"channel"`
	Channels []looseText `json:"channels"`
	Device   looseText   `json:"device"`
	Devices  []looseText `json:"devices"`
	Unsub    bool        `json:"unsub"`
}

// change reads a subscription.
func (s *tinodeSubscription) change() (c models.TopicChange, err error) {
	add := func(to *[]string, one looseText, more []looseText) {
		for _, v := range append(slices.Clone(more), one) {
			if v != "" {
				*to = append(*to, string(v))
			}
		}
	}
	c.Leave = s.Unsub
	add(&c.Tokens, s.Device, s.Devices)
	add(&c.Topics, s.Channel, s.Channels)
	switch {
	case len(c.Tokens) == 0:
		return c, fieldError("required", "device")
	case len(c.Topics) == 0:
		return c, fieldError("required", "channel")
	case len(c.Tokens) > maxTinodeDevices:
		return c, fieldLimit("too_many_items", "devices", maxTinodeDevices)
	case len(c.Topics) > maxTinodeDevices:
		return c, fieldLimit("too_many_items", "channels", maxTinodeDevices)
	case len(c.Tokens) > 1 && len(c.Topics) > 1:
		return c, fieldLimit("too_many_items", "channels", 1)
	}
	return c, nil
}

// tinodeSub keeps which devices are in which channels. The server logs what failed,
// by its place among the devices, or among the channels of one device.
func (h *ingestHandler) tinodeSub(c echo.Context, p tinodeGateway, in models.Ingest) error {
	about(in, models.ArrivalToken)
	if err := h.allowed(c, in); err != nil {
		return h.refuse(c, p, err)
	}
	r, err := h.request(c, p, in.Language())
	if err != nil {
		return h.refuse(c, p, err)
	}
	var s tinodeSubscription
	if err := decodeJSON(r.body, &s); err != nil {
		return h.refuse(c, p, err)
	}
	change, err := s.change()
	if err != nil {
		return h.refuse(c, p, err)
	}
	if !in.Authorized() {
		return p.unauthorized(c, intake{at: make([]int, max(len(change.Tokens), len(change.Topics)))})
	}
	fates, err := h.Ingest.ChangeTopics(c.Request().Context(), in, change)
	if err != nil {
		return h.refuse(c, p, err)
	}
	var a tinodeAnswer
	for i, fate := range fates {
		code, e := tinodeTopicError(fate)
		if e == nil {
			a.Sent++
			continue
		}
		a.Failed++
		a.Response = append(a.Response, tinodeItem(c, i, code, "", e))
	}
	if a.Failed > 0 {
		h.complain(c, in, "channel")
	}
	return c.JSON(http.StatusOK, a)
}

// tinodeTopicError says why a subscription failed, in the words that FCM has for it.
func tinodeTopicError(fate models.TopicFate) (code string, e *apiError) {
	switch fate {
	case models.TopicDone:
		return "", nil
	case models.TopicDead:
		return "UNREGISTERED", &apiError{status: http.StatusNotFound, code: "dead_device"}
	case models.TopicBad:
		return "INVALID_ARGUMENT", fieldError("wrong_type", "channel")
	case models.TopicDeviceFull:
		return "TOO_MANY_TOPICS", fieldLimit("too_many_items", "channels", models.MaxDeviceTopics)
	case models.TopicAppFull:
		return "RESOURCE_EXHAUSTED", fieldLimit("too_many_items", "devices", models.MaxAppTopics)
	case models.TopicUnknown:
	}
	return "NOT_FOUND", &apiError{status: http.StatusNotFound, code: "unknown_device"}
}
