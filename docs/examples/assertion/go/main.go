// A tool that believes the proxy's assertion and nothing else: go run . PORT.
// PUBLIC_URL is the proxy's public_url.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// Visitor is who is asking.
type Visitor struct {
	Email string `json:"email"`
	jwt.RegisteredClaims
}

func main() {
	publicURL := os.Getenv("PUBLIC_URL")
	// Keeps the keys, and asks again when it meets a key id that it does not know.
	keys, err := keyfunc.NewDefault([]string{publicURL + "/oauth2/keys"})
	if err != nil {
		log.Fatal(err)
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256"}), // never what the assertion itself names
		jwt.WithIssuer(publicURL),
		jwt.WithAudience(publicURL+"/"), // the address of this tool: with a prefix, that too
		jwt.WithLeeway(30*time.Second),  // clocks differ
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
	)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		var who Visitor
		if _, err := parser.ParseWithClaims(r.Header.Get("X-OAuth-Proxy-Assertion"), &who, keys.Keyfunc); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"id": who.Subject, "email": who.Email})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
