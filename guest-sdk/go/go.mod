module wstream

go 1.24
