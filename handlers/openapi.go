package handlers

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// deviceAPI is the contract of the device API and the generic bridge. Tests
// validate real requests and answers against it.
//
//go:embed openapi/device.v1.yaml
var deviceAPI []byte

// openAPI serves the contract.
func openAPI(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml; charset=utf-8", deviceAPI)
}
